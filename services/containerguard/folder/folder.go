// Package folder keeps files that are written whole: after a crash or a power cut at
// any moment the old content is there, or the new one. Nothing is read or written
// through a link.
package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Why a file is not read.
var (
	ErrTooLong = errors.New("file is too long")
	ErrNoFile  = errors.New("not a regular file")
)

// Folder is one folder, not those below it. Its methods may be called concurrently,
// but for Write on the same name.
type Folder struct {
	root *os.Root
	dir  *os.File // to sync names
}

// Open opens the folder at path, which it makes, for its owner alone, if needed.
func Open(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Folder{root: root, dir: dir}, nil
}

// Close gives the folder up.
func (f *Folder) Close() error { return errors.Join(f.dir.Close(), f.root.Close()) }

// Path returns where the file of that name is, for people.
func (f *Folder) Path(name string) string { return filepath.Join(f.root.Name(), name) }

// Names returns what is in the folder, sorted.
func (f *Folder) Names() ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out, nil
}

// Read returns a file of at most limit bytes. The error is ErrTooLong for a longer
// one, ErrNoFile for what is no regular file, and fs.ErrNotExist if there is none.
func (f *Folder) Read(name string, limit int64) (data []byte, err error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would make its reader wait
		return nil, fmt.Errorf("%s: %w", name, ErrNoFile)
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLong, limit)
	}
	return data, err
}

// Write puts a file in place of the one of that name. It is on the disk when Write
// returns.
func (f *Folder) Write(name string, data []byte) error {
	if err := Put(f.root, name, data); err != nil {
		return err
	}
	return syncNames(f.dir)
}

// Rename gives a file another name, in place of what had it.
func (f *Folder) Rename(from, to string) error {
	if err := f.root.Rename(from, to); err != nil {
		return err
	}
	return syncNames(f.dir)
}

// Remove deletes a file. That it is not there is no error.
func (f *Folder) Remove(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncNames(f.dir)
}

// Put writes a file whole below root, without a sync of the name. Before the rename
// its name begins with a dot.
func Put(root *os.Root, name string, data []byte) error {
	temporary := "." + name
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := Create(root, temporary)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return root.Rename(temporary, name)
}

// Create makes a file of its own, for its owner alone: what is in its place, a link
// too, is an error.
func Create(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
}
