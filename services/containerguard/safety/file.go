package safety

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxState bounds the file.
const maxState = 16 << 20

// file keeps a state on disk. Writers that wait for each other share one write: the
// second to come finds its change in what the first after it wrote.
type file struct {
	path string

	mu    sync.Mutex
	saved uint64 // the version on disk
}

// commit returns once version, or a newer one, is on disk. take returns the newest.
func (f *file) commit(version uint64, take func() (any, uint64)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saved >= version {
		return nil
	}
	state, newest := take()
	data, err := json.Marshal(state)
	if err == nil {
		err = f.write(data)
	}
	if err != nil {
		return fmt.Errorf("remember what was done, in %s: %w", f.path, err)
	}
	f.saved = newest
	return nil
}

// write replaces the file so that either the old or the new one is there after a
// power cut.
func (f *file) write(data []byte) error {
	next := f.path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(next, data); err != nil {
		return err
	}
	if err := os.Rename(next, f.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// writeSynced makes a file of its own: a link put in its place is an error.
func writeSynced(path string, data []byte) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.Write(data); err != nil {
		return err
	}
	return out.Sync()
}

// load reads the file into state. A damaged one is moved aside, and trouble says so.
func (f *file) load(state any) (trouble string, err error) {
	in, err := openNoFollow(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("what was done, in %s: %w", f.path, err)
	}
	data, err := io.ReadAll(io.LimitReader(in, maxState))
	err = errors.Join(err, in.Close())
	if err == nil {
		err = json.Unmarshal(data, state)
	}
	if err == nil {
		return "", nil
	}
	aside := f.path + ".bad-" + time.Now().UTC().Format("20060102T150405")
	if moved := os.Rename(f.path, aside); moved != nil {
		return "", fmt.Errorf("what was done, in %s, is damaged (%w) and cannot be moved aside: %w", f.path, err, moved)
	}
	return fmt.Sprintf("the memory of what was done was damaged (%v): moved to %s", err, aside), nil
}
