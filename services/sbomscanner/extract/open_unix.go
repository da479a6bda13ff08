//go:build unix

package extract

import "syscall"

// nonBlocking keeps an open from waiting for the writer of a named pipe.
const nonBlocking = syscall.O_NONBLOCK
