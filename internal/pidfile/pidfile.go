// Package pidfile keeps a second instance of a daemon from starting. The lock on the
// file decides, not the process id in it, so a file that a crash left is taken over; the
// id is for operators, init systems and the CLI. No link is followed, and no file that is
// not a PID file is overwritten.
package pidfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	fileMode   = 0o644 // readable, so that a CLI without rights can name the daemon
	folderMode = 0o755
	maxSize    = 32 // bytes; more is not a PID file
)

// RunningError is returned if another process holds the file. PID is 0 if that process
// has not written its id yet.
type RunningError struct {
	Path string
	PID  int
}

// Error names the other instance and what to do.
func (e *RunningError) Error() string {
	other := "another instance"
	if e.PID > 0 {
		other = fmt.Sprintf("another instance, process %d,", e.PID)
	}
	return fmt.Sprintf("%s is running (it holds %s): stop it, or set general.pid_file and general.data_dir to other paths", other, e.Path)
}

// File is a held PID file. Its methods may be called concurrently.
type File struct {
	path string

	mu   sync.Mutex
	file *os.File // nil once released
}

// Acquire locks path, writes this process' id into it and returns the held file.
// Missing folders are made. An empty path returns a File that holds nothing. It returns a
// *RunningError if another process holds the file, and an error for a link and for a file
// that is not a PID file.
func Acquire(path string) (*File, error) {
	if path == "" {
		return &File{}, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	file, err := openLocked(path)
	if err != nil {
		return nil, err
	}
	if err := write(file); err != nil {
		return nil, errors.Join(fmt.Errorf("pid file %s: %w", path, err), file.Close())
	}
	return &File{path: path, file: file}, nil
}

// Release removes the file, unless another has replaced it, and unlocks it. A second
// call does nothing.
func (f *File) Release() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	if !same(f.path, file) {
		return file.Close()
	}
	return removeAndClose(f.path, file)
}

// write replaces the id in the file, which must hold one or be empty.
func write(file *os.File) error {
	if _, err := read(file); err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// read returns the process id in a PID file, 0 if it is empty.
func read(r io.ReaderAt) (int, error) {
	b := make([]byte, maxSize+1)
	n, err := r.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	text := strings.TrimSpace(string(b[:n]))
	if text == "" {
		return 0, nil
	}
	pid, err := strconv.Atoi(text)
	if n > maxSize || err != nil || pid <= 0 {
		return 0, errors.New("holds something other than a process id and is not overwritten: remove it or name another path")
	}
	return pid, nil
}

// same reports whether path still names the open file itself, not a link to it.
func same(path string, file *os.File) bool {
	byPath, err := os.Lstat(path)
	if err != nil {
		return false
	}
	open, err := file.Stat()
	return err == nil && os.SameFile(byPath, open)
}
