package document

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// The index says what is in the documents, so that List need not read them. It is derived: List reads a document that the index
// does not have.
const (
	indexName = "index.json"
	maxIndex  = 16 << 20
)

// List returns the documents by asset name, those of one asset from the newest on. A file that is no document, or that cannot be
// read as one, has the asset "?". The error is one of the disk.
func (f *Folder) List() ([]Entry, error) {
	names, err := f.files.Names()
	if err != nil {
		return nil, fmt.Errorf("SBOM documents: %w", err)
	}
	indexed := f.readIndex()
	var all []Entry
	for _, file := range names {
		name, ok := parseFileName(file)
		if !ok {
			continue
		}
		e, known := indexed[file]
		if !known {
			e = f.describeFile(name)
		}
		all = append(all, e)
	}
	return markCurrent(all), nil
}

// describeFile reads a document for its entry.
func (f *Folder) describeFile(name fileName) Entry {
	e := name.entry(0)
	e.Asset = "?"
	raw, err := f.files.Read(e.File, maxDocument)
	if err != nil {
		return e
	}
	e.Bytes = int64(len(raw))
	if inv, err := Decode(raw); err == nil {
		e.describe(inv)
	}
	return e
}

// readIndex returns the entries of the index by file; none if it is missing or damaged.
func (f *Folder) readIndex() map[string]Entry {
	out := map[string]Entry{}
	raw, err := f.files.Read(indexName, maxIndex)
	if err != nil {
		return out
	}
	var entries []Entry
	if json.Unmarshal(raw, &entries) != nil {
		return out
	}
	for _, e := range entries {
		if name, ok := parseFileName(e.File); ok && e.ID == name.content && e.Format == name.format && e.Stored.Equal(name.at) {
			out[e.File] = e
		}
	}
	return out
}

func (f *Folder) writeIndex(all []Entry) error {
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := f.files.Write(indexName, raw); err != nil {
		return fmt.Errorf("index of SBOM documents: %w", err)
	}
	return nil
}

// markCurrent sorts entries as List does, by the name that the newest document of an asset has, and marks the newest ones.
func markCurrent(all []Entry) []Entry {
	newest := map[string]Entry{}
	for _, e := range all {
		if n, known := newest[e.asset()]; !known || e.Stored.After(n.Stored) {
			newest[e.asset()] = e
		}
	}
	slices.SortFunc(all, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(newest[a.asset()].Asset, newest[b.asset()].Asset), cmp.Compare(a.asset(), b.asset()), b.Stored.Compare(a.Stored), cmp.Compare(a.File, b.File))
	})
	for i, e := range all {
		all[i].Current = e.File == newest[e.asset()].File
	}
	return all
}

// Read returns a document and the inventory in it. The error is ErrNotFound if it is not there any more, ErrTooLarge, or says why
// it is no document.
func (f *Folder) Read(e Entry) ([]byte, *inventory.Inventory, error) {
	if _, ok := parseFileName(e.File); !ok {
		return nil, nil, fmt.Errorf("%w: %q", ErrNotFound, e.File)
	}
	raw, err := f.files.Read(e.File, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %s was removed meanwhile", ErrNotFound, e.File)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("SBOM document: %w", err)
	}
	inv, err := Decode(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("SBOM document %s: %w", f.files.Path(e.File), err)
	}
	return raw, inv, nil
}

// Find returns the document that text names: the beginning of an id or of a digest, or the name of an asset, whose current
// document it is. The error is ErrNotFound, or says that several have that id or name.
func Find(all []Entry, text string) (Entry, error) {
	const shortest = 4 // digits that are worth a guess
	found := map[string]Entry{}
	for _, e := range all {
		named := e.Current && (e.Asset == text || e.Digest == text)
		begun := len(text) >= shortest && (strings.HasPrefix(e.ID, text) || e.Current && strings.HasPrefix(strings.TrimPrefix(e.Digest, "sha256:"), text))
		if _, newer := found[e.ID]; (named || begun) && !newer {
			found[e.ID] = e
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, fmt.Errorf("%w: %q is neither an asset nor the beginning of an id", ErrNotFound, text)
	case 1:
		for _, e := range found {
			return e, nil
		}
	}
	var ids []string
	for id := range found {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return Entry{}, fmt.Errorf("%d SBOM documents are meant by %q: name one of %s", len(found), text, strings.Join(ids[:min(len(ids), 5)], ", "))
}

// Previous returns the document of the same asset that was stored before e. The error is ErrNotFound if e is the first.
func Previous(all []Entry, e Entry) (Entry, error) {
	var before Entry
	for _, other := range all {
		if other.asset() == e.asset() && other.Stored.Before(e.Stored) && other.Stored.After(before.Stored) {
			before = other
		}
	}
	if before.File == "" {
		return Entry{}, fmt.Errorf("%w: %s is the first one of %q; name a second asset or id to compare it with", ErrNotFound, e.ID, e.Asset)
	}
	return before, nil
}
