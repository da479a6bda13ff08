package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/folder"
)

const (
	ledgerFolder = "quarantine"
	doneFile     = "done.json"
	// maxEntry is bytes of one file. It is above what is ever written, for an entry that
	// cannot be read back is a way back lost: an answer of the engine has at most 64 MiB,
	// mostly labels, and JSON may write a byte as six.
	maxEntry = 512 << 20
	maxDone  = 4096 // action ids remembered after release
)

// ledger keeps entries in files, one for each container. It is safe for concurrent
// use on different containers.
type ledger struct {
	folder *folder.Folder

	mu   sync.Mutex
	done []string // action ids that were released, so that they are not applied again

	damaged []string        // what was put aside as the ledger was opened, and why
	lost    map[string]bool // containers whose entries were put aside, then or earlier
}

// errDamaged says that a file is not what the ledger wrote.
var errDamaged = errors.New("damaged")

// damagedSuffix ends the names of files that were put aside.
const damagedSuffix = ".damaged"

// openLedger opens or makes the ledger below dataDir.
func openLedger(dataDir string) (*ledger, error) {
	f, err := folder.Open(filepath.Join(dataDir, ledgerFolder))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l := &ledger{folder: f, lost: map[string]bool{}}
	if err := l.aside(doneFile, l.read(doneFile, &l.done)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// aside handles err about a file: one that is damaged is renamed, so that it is
// neither overwritten nor in the way of the others, and noted; any other error is
// returned.
func (l *ledger) aside(name string, err error) error {
	if !errors.Is(err, errDamaged) {
		return err
	}
	if failed := l.folder.Rename(name, name+damagedSuffix); failed != nil {
		return errors.Join(err, failed)
	}
	l.damaged = append(l.damaged, fmt.Sprintf("%v; it is %s now, what it held stays as it is", err, name+damagedSuffix))
	return nil
}

func (l *ledger) close() error { return l.folder.Close() }

// load returns every entry that is not damaged. The error names what cannot be
// read.
func (l *ledger) load() ([]*Entry, error) {
	names, err := l.folder.Names()
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	var out []*Entry
	var bad []error
	for _, name := range names {
		id, isEntry := strings.CutSuffix(strings.TrimSuffix(name, damagedSuffix), ".json")
		if !isEntry || !docker.ValidID(id) {
			continue
		}
		if strings.HasSuffix(name, damagedSuffix) {
			l.lost[id] = true
			continue
		}
		e, err := l.entry(id, name)
		if err != nil {
			l.lost[id] = true
			bad = append(bad, l.aside(name, err))
			continue
		}
		e.Order.Container = e.Before
		out = append(out, e)
	}
	return out, errors.Join(bad...)
}

// entry reads the entry about the container id.
func (l *ledger) entry(id, name string) (*Entry, error) {
	e := &Entry{}
	if err := l.read(name, e); err != nil {
		return nil, err
	}
	if e.Version != entryVersion || e.Before.ID != id {
		return nil, fmt.Errorf("ledger: %s: %w: not an entry of version %d about that container", name, errDamaged, entryVersion)
	}
	e.Begun = e.Begun || e.showsBegun()
	return e, nil
}

func (l *ledger) save(e *Entry) error { return l.write(e.Before.ID+".json", e) }

// remove deletes an entry, and remembers its orders as done first.
func (l *ledger) remove(e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, e.ActionIDs...)
	l.done = slices.Clone(l.done[max(0, len(l.done)-maxDone):])
	if err := l.write(doneFile, l.done); err != nil {
		return err
	}
	if err := l.folder.Remove(e.Before.ID + ".json"); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// isDone tells whether an order was applied and released.
func (l *ledger) isDone(actionID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.done, actionID)
}

func (l *ledger) read(name string, into any) error {
	raw, err := l.folder.Read(name, maxEntry)
	if errors.Is(err, folder.ErrTooLong) || errors.Is(err, folder.ErrNoFile) {
		return fmt.Errorf("ledger: %w: %w", errDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("ledger: %s: %w: %w", name, errDamaged, err)
	}
	return nil
}

func (l *ledger) write(name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", name, err)
	}
	if err := l.folder.Write(name, raw); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}
