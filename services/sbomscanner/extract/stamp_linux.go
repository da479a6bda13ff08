package extract

import (
	"io/fs"
	"syscall"
)

// stampOf returns the state of a file, or the zero value if it cannot be told.
func stampOf(info fs.FileInfo) stamp {
	if info == nil {
		return stamp{}
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{
		Device: uint64(sys.Dev), Inode: sys.Ino, Size: info.Size(), Mode: info.Mode(), //nolint:unconvert // differs by architecture
		Modified: sys.Mtim.Nano(), Changed: sys.Ctim.Nano(),
	}
}
