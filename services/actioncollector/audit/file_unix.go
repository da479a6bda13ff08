//go:build unix

package audit

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openRead opens a file of the trail for reading. It follows no symbolic link in its place.
func openRead(path string) (*os.File, error) {
	return openNoFollow(path, os.O_RDONLY)
}

// openNoFollow opens path itself: it follows no link and does not wait for the other end of a FIFO.
func openNoFollow(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.ELOOP) && isLink(path) {
		return nil, fmt.Errorf("%s is a symbolic link, which is not followed: remove it", path)
	}
	return f, err
}

// isLink reports whether path itself is a symbolic link; ELOOP may also come from a loop above it.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

// openWrite opens or creates a segment for appending. It refuses a link, anything but a
// regular file, and a file with a second name.
func openWrite(path string) (*os.File, error) {
	f, err := openNoFollow(path, os.O_RDWR|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := checkOnlyName(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkOnlyName returns an error if f is not a regular file or has a second name.
func checkOnlyName(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is not a regular file", f.Name())
	}
	if st.Nlink > 1 {
		return fmt.Errorf("%s has %d names: another file is linked to it", f.Name(), st.Nlink)
	}
	return nil
}

// lockDir locks the folder for this process until the returned file is closed or the process ends. It
// returns ErrLocked if another process has it.
func lockDir(dir string) (*os.File, error) {
	f, err := openWrite(dir + "/lock")
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
}

// diskFull reports whether err means that the disk or a quota is full.
func diskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
