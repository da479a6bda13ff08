//go:build linux || darwin

package pidfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxAttempts bounds how often a file that is removed under us is opened again.
const maxAttempts = 100

// openLocked opens and locks path. A holder that stops removes the file, so the
// one we locked may be gone from the folder: then it starts over.
func openLocked(path string) (*os.File, error) {
	for range maxAttempts {
		file, err := open(path)
		if err != nil {
			return nil, err
		}
		if err := lock(path, file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if same(path, file) {
			return file, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("pid file %s: it was removed %d times while being opened", path, maxAttempts)
}

// open never follows a link, waits for a FIFO or accepts a second name of another file.
func open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("pid file %s: is a symbolic link, which is not followed: remove it or name another path", path)
	}
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	if err := ours(file); err != nil {
		return nil, errors.Join(fmt.Errorf("pid file %s: %w", path, err), file.Close())
	}
	return file, nil
}

func ours(file *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("is not a regular file: name another path")
	}
	if st.Nlink > 1 {
		return errors.New("has a second name (hard link): remove it or name another path")
	}
	return nil
}

func lock(path string, file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := read(file) // the refusal stands without the number
		return &RunningError{Path: path, PID: pid}
	}
	if err != nil {
		return fmt.Errorf("pid file %s: lock: %w", path, err)
	}
	return nil
}

// removeAndClose unlinks while the lock is still held, so that it cannot be the
// file of the next instance.
func removeAndClose(path string, file *os.File) error {
	return errors.Join(os.Remove(path), file.Close())
}
