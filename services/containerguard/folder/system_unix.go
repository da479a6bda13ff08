//go:build unix

package folder

import (
	"os"

	"golang.org/x/sys/unix"
)

// noFollow refuses to open a link.
const noFollow = unix.O_NOFOLLOW

// syncNames makes renames and removals in dir durable.
func syncNames(dir *os.File) error { return dir.Sync() }
