package safety

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/ironpost/ironpost/services/containerguard/folder"
)

// maxStateSize bounds the file.
const maxStateSize = 16 << 20

// stateFile keeps a state on disk. Writers that wait for each other share one write: the
// second to come finds its change in what the first after it wrote.
type stateFile struct {
	folder *folder.Folder
	name   string

	mu    sync.Mutex
	saved uint64 // the version on disk
}

// commit returns once version, or a newer one, is on disk. take returns the newest.
func (f *stateFile) commit(version uint64, take func() (any, uint64)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saved >= version {
		return nil
	}
	state, newest := take()
	data, err := json.Marshal(state)
	if err == nil {
		err = f.folder.Write(f.name, data)
	}
	if err != nil {
		return fmt.Errorf("remember what was done, in %s: %w", f.folder.Path(f.name), err)
	}
	f.saved = newest
	return nil
}

// load reads the file into state. A damaged one is moved aside, and trouble says so.
func (f *stateFile) load(state any) (trouble string, err error) {
	data, err := f.folder.Read(f.name, maxStateSize)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil && !errors.Is(err, folder.ErrTooLong) && !errors.Is(err, folder.ErrNoFile) {
		return "", fmt.Errorf("what was done, in %s: %w", f.folder.Path(f.name), err)
	}
	if err == nil {
		err = json.Unmarshal(data, state)
	}
	if err == nil {
		return "", nil
	}
	aside := f.name + ".bad-" + time.Now().UTC().Format("20060102T150405")
	if moved := f.folder.Rename(f.name, aside); moved != nil {
		return "", fmt.Errorf("what was done, in %s, is damaged (%w) and cannot be moved aside: %w", f.folder.Path(f.name), err, moved)
	}
	return fmt.Sprintf("the memory of what was done was damaged (%v): moved to %s", err, f.folder.Path(aside)), nil
}
