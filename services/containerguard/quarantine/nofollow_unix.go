//go:build unix

package quarantine

import "golang.org/x/sys/unix"

// noFollow refuses to open a link.
const noFollow = unix.O_NOFOLLOW
