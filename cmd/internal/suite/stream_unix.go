//go:build unix

package suite

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// streamOf returns "device:inode" of f, "" if they are not to be had.
func streamOf(f *os.File) string {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
