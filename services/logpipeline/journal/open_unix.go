//go:build unix

package journal

import (
	"io/fs"
	"os"
	"syscall"
)

// openNoFollow opens path for reading and refuses a symbolic link in its place. It does not wait if it is no regular file.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// isSystemOwned reports whether root owns a file and nobody else may write it.
func isSystemOwned(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0 && info.Mode().Perm()&0o022 == 0
}
