// Package atomicfile replaces files as a whole: after a crash or a power cut at any
// moment a reader finds the old content or the new one. A file is synced before it
// takes its name, and its folder after that. Writing follows no link in the place of
// the file or of its temporary file; the temporary file has a fixed name (a dot before
// the file's), so an interrupted write leaves at most one, which the next one removes.
package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path, whose folder must exist, and returns when data
// is on the disk. A new file gets perm before the umask. Two writers of the same path
// must not run at the same time.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return WriteFrom(path, perm, whole(data))
}

// whole returns a function that writes data.
func whole(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// WriteFrom is WriteFile for content that write writes, which need not be in memory as a whole. If write fails the
// file stays as it is.
func WriteFrom(path string, perm fs.FileMode, write func(io.Writer) error) (err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return replace(root, filepath.Base(path), perm, write)
}

// Write is WriteFile for the file called name in root itself, not in a folder below it.
func Write(root *os.Root, name string, data []byte, perm fs.FileMode) error {
	return replace(root, name, perm, whole(data))
}

func replace(root *os.Root, name string, perm fs.FileMode, write func(io.Writer) error) error {
	if name != filepath.Base(name) {
		return &fs.PathError{Op: "write", Path: name, Err: fs.ErrInvalid}
	}
	temporary := "." + name
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(root, temporary, perm, write); err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	if err := root.Rename(temporary, name); err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return Sync(root)
}

func writeSynced(root *os.Root, name string, perm fs.FileMode, write func(io.Writer) error) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err = write(file); err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Sync makes names that were made, changed or removed in the folder of root durable.
func Sync(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}

// SyncDir is Sync for the folder at path.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}
