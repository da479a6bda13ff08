//go:build unix

package advisory

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFolder locks a file in root that no other user can open, so that no other user can hold the lock. Closing it unlocks.
func lockFolder(root *os.Root) (*os.File, error) {
	file, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE|noFollow|nonBlock, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// adopt gives what root made in a database of another user to that user, whose daemon must be able to lock it and to remove what
// an interrupted import left.
func adopt(root *os.Root, names ...string) error {
	info, err := root.Stat(".")
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	for _, name := range names {
		err = errors.Join(err, root.Lchown(name, int(owner.Uid), int(owner.Gid)))
	}
	return err
}
