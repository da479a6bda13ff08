//go:build linux || darwin

package pidfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxAttempts bounds how often a file that another process removes meanwhile is opened again.
const maxAttempts = 100

// openLocked opens and locks path. A holder that stops removes the file, so the locked
// one may have left the folder by now: then it is opened again.
func openLocked(path string) (*os.File, error) {
	for range maxAttempts {
		file, err := open(path, lockMode)
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
	return nil, fmt.Errorf("%s: it was removed %d times while being opened", path, maxAttempts)
}

// open does not follow links, wait for a FIFO, or accept a file with hard links.
func open(path string, mode os.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: is a symbolic link, which is not followed: remove it or name another path", path)
	}
	if err != nil {
		return nil, err
	}
	if err := checkRegular(file); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return file, nil
}

func checkRegular(file *os.File) error {
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

// lock locks file, and closes it to others: earlier versions made it readable, and who can open a file can lock it.
func lock(path string, file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := read(file) // the error is right without the id too
		if !ours(pid) {
			pid = 0
		}
		return &RunningError{Path: path, PID: pid}
	}
	if err == nil {
		err = file.Chmod(lockMode)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return nil
}

// removeAndClose removes the file while its lock is held: afterwards path could name the
// next instance's file.
func removeAndClose(path string, file *os.File) error {
	return errors.Join(os.Remove(path), file.Close())
}
