package document

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Subfolder is the name of the folder of documents in the scanner's own folder: <data_dir>/sbom-scanner/sbom.
const Subfolder = "sbom"

// maxDocument is the size of a document above which it is neither stored nor read.
const maxDocument = 64 << 20

// Errors of a folder.
var (
	ErrTooLarge = errors.New("SBOM document is too large")
	ErrNotFound = errors.New("no such SBOM document")
)

// Limits bounds what a folder keeps. What is above is removed, the oldest first: previous documents, then current ones.
type Limits struct {
	Previous  int   // documents of one asset beside the current one; 0: 5
	Documents int   // of all assets; 0: 1000
	Bytes     int64 // of all documents; 0: 1 GiB
}

func (l Limits) withDefaults() Limits {
	return Limits{Previous: cmp.Or(l.Previous, 5), Documents: cmp.Or(l.Documents, 1000), Bytes: cmp.Or(l.Bytes, 1<<30)}
}

// Folder keeps the documents of assets: the current one and some previous ones. A file is named by hashes and the time, so nothing
// that an asset says of itself becomes a name on the disk. Methods may be called concurrently, except Store with itself.
type Folder struct {
	files  *folder.Folder
	limits Limits
}

// OpenFolder opens the folder of documents at path, making it with mode 0700 if it is missing.
func OpenFolder(path string, limits Limits) (*Folder, error) {
	files, err := folder.Open(path)
	if err != nil {
		return nil, fmt.Errorf("folder of SBOM documents: %w", err)
	}
	return &Folder{files: files, limits: limits.withDefaults()}, nil
}

// Close releases the folder. Documents stay.
func (f *Folder) Close() error { return f.files.Close() }

// Entry is a stored document.
type Entry struct {
	ID       string         `json:"id"`   // 12 hexadecimal digits of the hash of its content
	File     string         `json:"file"` // name in the folder
	Format   Format         `json:"format"`
	Asset    string         `json:"asset"` // name: path or image reference
	Kind     inventory.Kind `json:"kind"`
	Digest   string         `json:"digest,omitempty"` // of an image or document
	Packages int            `json:"packages"`
	Bytes    int64          `json:"bytes"`
	Stored   time.Time      `json:"stored"`
	Time     time.Time      `json:"time,omitzero"` // of the newest input
	Current  bool           `json:"current"`       // no later one of this asset
}

// Stored is the outcome of Store.
type Stored struct {
	Entry   Entry
	New     bool           // false: the current document says the same already
	Dropped map[string]int // removed documents by reason: previous, documents, bytes
}

// Store writes an inventory as the current document of its asset, unless that has the same bytes, and removes what is above the
// limits, never the one just stored. now orders the documents of an asset. The error is ErrTooLarge for a document of more than
// 64 MiB or more than the limit of bytes, or one of the disk; then the previous document stays the current one.
func (f *Folder) Store(inv *inventory.Inventory, format Format, o Options, now time.Time) (Stored, error) {
	raw, err := Encode(format, inv, o)
	if err != nil {
		return Stored{}, err
	}
	if n := int64(len(raw)); n > min(maxDocument, f.limits.Bytes) {
		return Stored{}, fmt.Errorf("%w: %d bytes for %q", ErrTooLarge, n, inv.Asset.Name)
	}
	all, err := f.List()
	if err != nil {
		return Stored{}, err
	}
	name := fileName{asset: hash(inv.Asset.Key())[:assetDigits], at: now, content: hash(string(raw))[:contentDigits], format: format}
	for _, e := range all {
		old, _ := parseFileName(e.File)
		if e.Current && old.asset == name.asset {
			if old.content == name.content && old.format == format {
				return Stored{Entry: e}, nil
			}
			if !now.After(old.at) { // the clock was set back
				name.at = old.at.Add(1)
			}
		}
	}
	if err := f.files.Write(name.String(), raw); err != nil {
		return Stored{}, fmt.Errorf("SBOM document of %q: %w", inv.Asset.Name, err)
	}
	entry := name.entry(int64(len(raw)))
	entry.describe(inv)
	entry.Current = true
	dropped, err := f.prune(markCurrent(append(all, entry)), entry.File)
	return Stored{Entry: entry, New: true, Dropped: dropped}, err
}

// prune removes what is above the limits and writes the index of the rest. all is sorted as List sorts.
func (f *Folder) prune(all []Entry, keep string) (dropped map[string]int, err error) {
	dropped = map[string]int{}
	remove := func(reason string, e Entry) bool {
		if err = f.files.Remove(e.File); err == nil {
			dropped[reason]++
		}
		return err == nil
	}
	seen := map[string]int{}
	all = slices.DeleteFunc(all, func(e Entry) bool {
		seen[e.asset()]++
		return err == nil && seen[e.asset()] > f.limits.Previous+1 && remove("previous", e)
	})
	for err == nil {
		reason := f.excess(all)
		if reason == "" {
			break
		}
		oldest := slices.MinFunc(all, func(a, b Entry) int { // previous ones first, the kept one last
			return cmp.Or(compareBool(a.File == keep, b.File == keep), compareBool(a.Current, b.Current), a.Stored.Compare(b.Stored), cmp.Compare(a.File, b.File))
		})
		if remove(reason, oldest) {
			all = slices.DeleteFunc(all, func(e Entry) bool { return e.File == oldest.File })
		}
	}
	return dropped, errors.Join(err, f.writeIndex(all))
}

// excess returns which limit the documents are above, or "".
func (f *Folder) excess(all []Entry) string {
	var bytes int64
	for _, e := range all {
		bytes += e.Bytes
	}
	switch {
	case len(all) > f.limits.Documents:
		return "documents"
	case bytes > f.limits.Bytes:
		return "bytes"
	}
	return ""
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Digits of the hashes in a file's name.
const (
	assetDigits   = 16
	contentDigits = 12
	timeForm      = "20060102T150405.000000000Z"
)

var fileForm = regexp.MustCompile(`^([0-9a-f]{16})-([0-9]{8}T[0-9]{6}\.[0-9]{9}Z)-([0-9a-f]{12})(\.cdx\.json|\.spdx\.json)$`)

// fileName is the name of a document: <hash of the asset>-<time>-<hash of the content>.<format>.json.
type fileName struct {
	asset   string
	at      time.Time
	content string
	format  Format
}

func (n fileName) String() string {
	return strings.Join([]string{n.asset, n.at.UTC().Format(timeForm), n.content}, "-") + n.format.Extension()
}

// parseFileName returns false for files that are no documents.
func parseFileName(name string) (fileName, bool) {
	m := fileForm.FindStringSubmatch(name)
	if m == nil {
		return fileName{}, false
	}
	at, err := time.Parse(timeForm, m[2])
	format := CycloneDX
	if m[4] == SPDX.Extension() {
		format = SPDX
	}
	return fileName{asset: m[1], at: at, content: m[3], format: format}, err == nil
}

// entry returns what the name says of a document.
func (n fileName) entry(size int64) Entry {
	return Entry{ID: n.content, File: n.String(), Format: n.format, Bytes: size, Stored: n.at.UTC()}
}

// asset returns the hash of the asset's key.
func (e Entry) asset() string { return e.File[:assetDigits] }

// describe adds what the inventory says.
func (e *Entry) describe(inv *inventory.Inventory) {
	e.Asset, e.Kind, e.Digest = line(inv.Asset.Name), inv.Asset.Kind, line(inv.Asset.Digest)
	e.Packages, e.Time = len(inv.Packages), statable(inv.Time)
}
