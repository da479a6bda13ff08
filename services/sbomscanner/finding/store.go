package finding

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const (
	version    = 1
	maxFile    = 64 << 20 // bytes
	suffix     = ".json"
	stateFile  = "state.json"
	saveScan   = 24 * time.Hour      // how old Scanned may be in the file
	keepFixed  = 90 * 24 * time.Hour // a fixed finding
	keepAssets = 30 * 24 * time.Hour // an asset that is not scanned any more
)

// Limits. An observation that would exceed one is refused.
const (
	MaxAssets   = 2000
	MaxFindings = 200_000 // of all assets
	MaxOutbox   = 2000    // alerts that wait, of all assets

	maxFixedKept = 2000 // fixed findings of one asset, the latest ones
)

// Errors of Observe.
var (
	// ErrOutboxFull is returned while as many alerts wait for the bus as are kept; observe again later.
	ErrOutboxFull = errors.New("too many alerts wait for the bus")
	// ErrTooMany is returned for an asset or findings beyond the limits.
	ErrTooMany = errors.New("too many assets or findings")
)

// Store is the findings of all assets, in memory and in a folder. It is for one goroutine.
type Store struct {
	dir    *folder.Folder
	assets map[string]*Asset // by Key
	state  state
	total  int // findings
	waits  int // alerts
}

// state is what belongs to no asset.
type state struct {
	Version int            `json:"version"`
	LastSeq uint64         `json:"last_seq"`        // of the stream, up to which every alert of ours was stored and taken from the outbox
	Stale   string         `json:"stale,omitempty"` // the generation of the database that an alert said is out of date
	Outbox  []*event.Alert `json:"outbox,omitempty"`
}

// assetFile is the content of the file of one asset.
type assetFile struct {
	Version int `json:"version"`
	Asset
}

// OpenStore reads the folder at path, which is made if it is missing. Files that cannot be read as findings are renamed; problems says so,
// and what they knew is reported again. The caller must call Close.
func OpenStore(path string) (s *Store, problems []string, err error) {
	dir, err := folder.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("folder of findings: %w", err)
	}
	s = &Store{dir: dir, assets: map[string]*Asset{}, state: state{Version: version}}
	names, err := dir.Names()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("folder of findings: %w", err), dir.Close())
	}
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) || strings.HasPrefix(name, ".") {
			continue
		}
		if bad := s.load(name); bad != nil {
			aside := name + ".bad"
			if err := dir.Rename(name, aside); err != nil {
				return nil, nil, errors.Join(fmt.Errorf("%s is %w, and cannot be renamed: %w", dir.Path(name), bad, err), dir.Close())
			}
			problems = append(problems, fmt.Sprintf("%s was %v: moved to %s, its findings are reported again", dir.Path(name), bad, aside))
		}
	}
	return s, problems, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.dir.Close() }

func (s *Store) load(name string) error {
	data, err := s.dir.Read(name, maxFile)
	if err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	if name == stateFile {
		s.state, err = decodeState(data)
		s.waits += len(s.state.Outbox)
		return err
	}
	a, err := DecodeAsset(data)
	if err != nil {
		return err
	}
	if fileName(a.Key()) != name {
		return fmt.Errorf("of another asset, %s", event.Printable(a.Key(), 200))
	}
	s.assets[a.Key()] = a
	s.total += len(a.Findings)
	s.waits += len(a.Outbox)
	return nil
}

func decodeState(data []byte) (state, error) {
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return state{Version: version}, fmt.Errorf("damaged: %w", err)
	}
	if st.Version != version {
		return state{Version: version}, fmt.Errorf("of version %d, not %d", st.Version, version)
	}
	st.Outbox = slices.DeleteFunc(st.Outbox, func(a *event.Alert) bool { return a == nil })
	return st, nil
}

// DecodeAsset reads the file of one asset.
func DecodeAsset(data []byte) (*Asset, error) {
	var f assetFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if f.Version != version {
		return nil, fmt.Errorf("of version %d, not %d", f.Version, version)
	}
	if f.Name == "" || f.Kind == "" {
		return nil, errors.New("damaged: no asset")
	}
	for _, finding := range f.Findings {
		if finding.Key == "" || finding.PURL == "" || len(finding.Names) == 0 || !slices.Contains(States(), finding.State) {
			return nil, errors.New("damaged: a finding without key, package, name or state")
		}
	}
	f.Outbox = slices.DeleteFunc(f.Outbox, func(a *event.Alert) bool { return a == nil })
	return &f.Asset, nil
}

// Read returns the assets of the folder at path, by key, without changing anything: it may run beside the daemon. Files that cannot
// be read are left out, and the error names them.
func Read(path string) ([]*Asset, error) {
	dir, err := folder.OpenExisting(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // only read
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	var out []*Asset
	var errs []error
	for _, name := range names {
		if name == stateFile || !strings.HasSuffix(name, suffix) || strings.HasPrefix(name, ".") {
			continue
		}
		data, err := dir.Read(name, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		var a *Asset
		if err == nil {
			a, err = DecodeAsset(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir.Path(name), err))
			continue
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *Asset) int { return strings.Compare(a.Key(), b.Key()) })
	return out, errors.Join(errs...)
}

func fileName(key string) string { return event.ID("asset", key) + suffix }

// Assets returns the assets, by key. They must not be changed.
func (s *Store) Assets() []*Asset {
	out := make([]*Asset, 0, len(s.assets))
	for _, key := range slices.Sorted(maps.Keys(s.assets)) {
		out = append(out, s.assets[key])
	}
	return out
}

// Asset returns the asset with that key, nil if it is not known. It must not be changed.
func (s *Store) Asset(key string) *Asset { return s.assets[key] }

// Observe takes what a match says of an asset, moves its findings on, and saves them with the alerts that alerts makes of what is to
// be reported. Nothing has changed if it returns an error.
func (s *Store) Observe(o Observation, alerts func(Report) []*event.Alert) (Report, error) {
	before := s.assets[o.Asset.Key()]
	if before == nil {
		before = &Asset{}
	}
	next := &Asset{Asset: o.Asset, Scanned: before.Scanned, Outbox: before.Outbox, NotAssessed: o.Result.NotAssessed}
	if before.Name == "" {
		next.Scanned = o.Time.UTC()
	}
	findings, report, change := reconcile(before.Findings, o)
	next.Findings = withoutOldFixed(findings, o.Time)
	report.Asset = *next
	if len(report.Digest)+len(report.Alone) > 0 {
		made := alerts(report)
		next.Outbox = slices.Concat(before.Outbox, made)
		if s.waits > 0 && s.waits+len(made) > MaxOutbox {
			return Report{}, ErrOutboxFull
		}
	}
	if s.total+len(next.Findings)-len(before.Findings) > MaxFindings || before.Name == "" && len(s.assets) >= MaxAssets {
		return Report{}, ErrTooMany
	}
	change = change || before.Name == "" || len(next.Findings) != len(before.Findings) || len(next.Outbox) != len(before.Outbox) ||
		!maps.Equal(before.NotAssessed, next.NotAssessed) || !slices.Equal(before.Containers, next.Containers) || before.Asset.Name != next.Asset.Name
	if !change {
		return report, nil
	}
	return report, s.put(before, next)
}

// withoutOldFixed forgets fixed findings after a time, and the oldest ones where there are many: a file that changes all the time
// must not fill the store.
func withoutOldFixed(findings []Finding, now time.Time) []Finding {
	var fixed []time.Time
	for _, f := range findings {
		if f.State == Fixed {
			fixed = append(fixed, f.Since)
		}
	}
	oldest := now.Add(-keepFixed)
	if len(fixed) > maxFixedKept {
		slices.SortFunc(fixed, func(a, b time.Time) int { return b.Compare(a) })
		if limit := fixed[maxFixedKept]; !limit.Before(oldest) {
			oldest = limit.Add(1)
		}
	}
	return slices.DeleteFunc(findings, func(f Finding) bool { return f.State == Fixed && f.Since.Before(oldest) })
}

// put saves next in place of before.
func (s *Store) put(before, next *Asset) error {
	data, err := json.Marshal(assetFile{Version: version, Asset: *next})
	if err != nil {
		return fmt.Errorf("encode findings: %w", err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("%w: the findings of %s are %d bytes", ErrTooMany, event.Printable(next.Name, 200), len(data))
	}
	if err := s.dir.Write(fileName(next.Key()), data); err != nil {
		return fmt.Errorf("save findings: %w", err)
	}
	s.assets[next.Key()] = next
	s.total += len(next.Findings) - len(before.Findings)
	s.waits += len(next.Outbox) - len(before.Outbox)
	return nil
}

// Seen notes that the asset with that key was scanned or is still there; it is saved at most daily.
func (s *Store) Seen(key string, now time.Time) error {
	a := s.assets[key]
	if a == nil || now.Sub(a.Scanned) < saveScan {
		return nil
	}
	next := *a
	next.Scanned = now.UTC()
	return s.put(a, &next)
}

// ForgetOldest forgets the asset that was not scanned for the longest time of those that over names and that have no alert that
// waits. It returns its key, "" if there is none.
func (s *Store) ForgetOldest(over func(inventory.Asset) bool) (string, error) {
	oldest := ""
	for _, a := range s.Assets() {
		if key := a.Key(); len(a.Outbox) == 0 && over(a.Asset) && (oldest == "" || a.Scanned.Before(s.assets[oldest].Scanned)) {
			oldest = key
		}
	}
	if oldest == "" {
		return "", nil
	}
	if err := s.dir.Remove(fileName(oldest)); err != nil {
		return "", fmt.Errorf("forget asset: %w", err)
	}
	s.total -= len(s.assets[oldest].Findings)
	delete(s.assets, oldest)
	return oldest, nil
}

// Prune forgets assets that were not seen for 30 days and have no alert that waits, and returns their keys.
func (s *Store) Prune(now time.Time) ([]string, error) {
	var out []string
	for key, a := range s.assets {
		if now.Sub(a.Scanned) <= keepAssets || len(a.Outbox) > 0 {
			continue
		}
		if err := s.dir.Remove(fileName(key)); err != nil {
			return out, fmt.Errorf("forget asset: %w", err)
		}
		s.total -= len(a.Findings)
		delete(s.assets, key)
		out = append(out, key)
	}
	return out, nil
}
