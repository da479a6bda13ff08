//go:build unix

package folder

import "golang.org/x/sys/unix"

// noFollow makes opening a link fail.
const noFollow = unix.O_NOFOLLOW
