package tail

import (
	"os"
	"path/filepath"
	"strconv"
)

const regular = "regular"

// fileInfo is the part of a stat that rotation needs.
type fileInfo struct {
	id          FileID
	size, mtime int64  // bytes, nanoseconds since 1970
	kind        string // regular, or what it is instead
	systemOwned bool   // see Line.SystemOwned
}

// String is the part of a position that names the file.
func (id FileID) String() string {
	b := strconv.AppendUint(nil, id.Dev, 16)
	b = strconv.AppendUint(append(b, '-'), id.Inode, 16)
	b = strconv.AppendInt(append(b, '-'), id.Birth, 16)
	return string(b)
}

// closeRead closes a file that was only read, or whose content is not needed any more.
func closeRead(file *os.File) { _ = file.Close() }

// resolve returns path with links followed, or path itself if that fails.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
