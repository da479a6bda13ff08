//go:build !unix

package advisory

import "os"

// lockFolder opens the lock file without a lock: on this system two imports at a time are not prevented.
func lockFolder(root *os.Root) (*os.File, error) {
	return root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
}

// adopt does nothing: on this system files have no owner of this kind.
func adopt(*os.Root, ...string) error { return nil }
