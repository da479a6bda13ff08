//go:build !linux

package tail

import (
	"hash/fnv"
	"io/fs"
	"os"
)

// look describes what path leads to, links followed. Off Linux the identity is
// the path itself, so that a rotation is noticed by the content alone.
func look(path string) (info, error) {
	st, err := os.Stat(path)
	if err != nil {
		return info{}, err
	}
	return toInfo(path, st), nil
}

func lookFile(f *os.File) (info, error) {
	st, err := f.Stat()
	if err != nil {
		return info{}, err
	}
	return toInfo(f.Name(), st), nil
}

func toInfo(path string, st fs.FileInfo) info {
	h := fnv.New64a()
	h.Write([]byte(path))
	in := info{id: FileID{Inode: h.Sum64()}, size: st.Size(), mtime: st.ModTime().UnixNano(), kind: "not a regular file"}
	if st.Mode().IsRegular() {
		in.kind = regular
	}
	return in
}

const openFlags = os.O_RDONLY
