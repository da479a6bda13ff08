//go:build unix

package main

import "golang.org/x/sys/unix"

// noFollow has a file opened only if it is no link.
const noFollow = unix.O_NOFOLLOW
