// Package pidfile keeps a second instance of a daemon from starting, and tells others its
// process id. The lock decides, on a file that no other user can open: who can open a
// file can hold its lock. The PID file is for operators, init systems and the CLI; one
// that a crash left is taken over. No link is followed, and no file that is neither is
// overwritten.
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
	fileMode   = 0o644 // of a PID file: readable, so that a CLI without rights can name the daemon
	lockMode   = 0o600
	folderMode = 0o755

	lockFolderMode = 0o700
	maxSize        = 32 // bytes; more is not a PID file
)

// RunningError is returned if another process holds the file. PID is 0 unless the process whose id the file
// holds runs, as this program and this user.
type RunningError struct {
	Path string
	PID  int
}

// Error names the other instance and what to do.
func (e *RunningError) Error() string {
	if e.PID > 0 {
		return fmt.Sprintf("another instance, process %d, is running (it holds %s): stop it, or set general.pid_file and general.data_dir to other paths", e.PID, e.Path)
	}
	return fmt.Sprintf("a process that this one cannot name holds %s: find it with fuser -v %[1]s and stop it, or set general.pid_file and general.data_dir to other paths", e.Path)
}

// File is a held file. Its methods may be called concurrently.
type File struct {
	path string

	mu   sync.Mutex
	file *os.File // nil once released
}

// Lock locks path, which no other user may open, writes this process' id into it and returns the
// held file. Missing folders are made. It returns a *RunningError if another process holds it, and
// an error for a link and for a file that is not one of these.
func Lock(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), lockFolderMode); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	file, err := openLocked(path)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return hold(path, file)
}

// Write writes this process' id into the PID file at path and returns the file. Missing folders
// are made. An empty path returns a File that holds nothing. It returns a *RunningError if the file
// names another process of this program and user that runs, and errors as Lock does. Two processes
// that write at the same time may both succeed: Lock keeps them apart.
func Write(path string) (*File, error) {
	if path == "" {
		return &File{}, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	file, err := open(path, fileMode)
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	if pid, _ := read(file); pid != os.Getpid() && ours(pid) {
		return nil, errors.Join(&RunningError{Path: path, PID: pid}, file.Close())
	}
	return hold(path, file)
}

// hold writes this process' id into file, which was opened at path.
func hold(path string, file *os.File) (*File, error) {
	if err := write(file); err != nil {
		return nil, errors.Join(fmt.Errorf("pid file %s: %w", path, err), file.Close())
	}
	return &File{path: path, file: file}, nil
}

// Release removes the file, unless it is another one or another process' by now, and
// unlocks it. A second call does nothing.
func (f *File) Release() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	if pid, _ := read(file); pid != os.Getpid() || !same(f.path, file) {
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
