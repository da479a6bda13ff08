//go:build !linux

package tail

import (
	"hash/fnv"
	"io/fs"
	"os"
)

// statPath describes what path leads to, links followed. Off Linux the identity is
// the path itself: a rotation is noticed by the content alone.
func statPath(path string) (fileInfo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return fileInfo{}, err
	}
	return toFileInfo(path, st), nil
}

func statFile(f *os.File) (fileInfo, error) {
	st, err := f.Stat()
	if err != nil {
		return fileInfo{}, err
	}
	return toFileInfo(f.Name(), st), nil
}

func toFileInfo(path string, st fs.FileInfo) fileInfo {
	h := fnv.New64a()
	h.Write([]byte(path))
	in := fileInfo{id: FileID{Inode: h.Sum64()}, size: st.Size(), mtime: st.ModTime().UnixNano(), kind: "not a regular file"}
	if st.Mode().IsRegular() {
		in.kind = regular
	}
	return in
}

const openFlags = os.O_RDONLY
