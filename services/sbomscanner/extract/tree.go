package extract

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// errEndOfFolder is what ReadDir returns at the end.
var errEndOfFolder = io.EOF

// tree is where the files of an asset are: a folder or an image. Paths are relative, with slashes.
type tree interface {
	// open opens a regular file for reading at any offset.
	open(name string) (file, error)
	// stat describes a file.
	stat(name string) (fs.FileInfo, error)
}

// file is an opened file.
type file interface {
	fs.File
	io.ReaderAt
	io.Seeker
}

// folderTree is a tree on disk. os.Root refuses what leads outside.
type folderTree struct{ root *os.Root }

func (t folderTree) open(name string) (file, error) {
	f, err := openRegular(t.root, name)
	if err != nil {
		return nil, err // an interface without value, not a nil *os.File
	}
	return f, nil
}

func (t folderTree) stat(name string) (fs.FileInfo, error) { return t.root.Stat(name) }

// openRegular opens a regular file. It does not wait for the other end of a pipe.
func openRegular(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("is not a regular file but %v", info.Mode().Type())
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	return f, nil
}
