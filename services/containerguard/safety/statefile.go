package safety

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

const maxStateSize = 16 << 20

// stateFile keeps a state on disk as JSON. Callers that wait for each other share one
// write: the second finds its change in what the first wrote after it.
type stateFile struct {
	folder *folder.Folder
	name   string

	mu    sync.Mutex
	saved uint64 // version on disk
}

// save returns nil when that version, or a newer one, is on disk. snapshot returns the
// newest state and its version.
func (f *stateFile) save(version uint64, snapshot func() (any, uint64)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saved >= version {
		return nil
	}
	state, newest := snapshot()
	data, err := json.Marshal(state)
	if err == nil {
		err = f.folder.Write(f.name, data)
	}
	if err != nil {
		return fmt.Errorf("save guard state in %s: %w", f.folder.Path(f.name), err)
	}
	f.saved = newest
	return nil
}

// load reads the file, if there is one, into state. A damaged one is moved aside, and
// damage says so.
func (f *stateFile) load(state any) (damage string, err error) {
	data, err := f.folder.Read(f.name, maxStateSize)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil && !errors.Is(err, folder.ErrTooLong) && !errors.Is(err, folder.ErrNoFile) {
		return "", fmt.Errorf("read guard state in %s: %w", f.folder.Path(f.name), err)
	}
	if err == nil {
		err = json.Unmarshal(data, state)
	}
	if err == nil {
		return "", nil
	}
	aside := f.name + ".bad-" + time.Now().UTC().Format("20060102T150405")
	if renameErr := f.folder.Rename(f.name, aside); renameErr != nil {
		return "", fmt.Errorf("guard state in %s is damaged (%w) and cannot be moved aside: %w", f.folder.Path(f.name), err, renameErr)
	}
	return fmt.Sprintf("the guard state in %s was damaged (%v): moved to %s, starting with none", f.name, err, f.folder.Path(aside)), nil
}
