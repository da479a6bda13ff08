// Package folder keeps state files of a module in one folder. A file is replaced
// as a whole (package atomicfile), read up to a size limit, and never read or
// written through a link.
package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

// Errors of Read.
var (
	ErrTooLong = errors.New("file is too long")
	ErrNoFile  = errors.New("not a regular file")
)

// Folder is one folder without its subfolders. Its methods may be called
// concurrently, except Write on the same name.
type Folder struct{ root *os.Root }

// Open opens the folder at path and creates it, with mode 0700, if it is missing.
func Open(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Folder{root: root}, nil
}

// Close releases the folder. Its files stay.
func (f *Folder) Close() error { return f.root.Close() }

// Path returns the path of the named file, for messages.
func (f *Folder) Path(name string) string { return filepath.Join(f.root.Name(), name) }

// Names returns the names of everything in the folder, sorted.
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

// Read returns the content of a file of at most limit bytes. It fails with
// ErrTooLong for a longer file, ErrNoFile for anything but a regular file, and
// fs.ErrNotExist if there is none.
func (f *Folder) Read(name string, limit int64) (data []byte, err error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a named pipe would block
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

// Write replaces the named file, with mode 0600. It is on the disk when Write returns.
func (f *Folder) Write(name string, data []byte) error {
	return atomicfile.Write(f.root, name, data, 0o600)
}

// Size returns the size of a regular file. It fails as Read does.
func (f *Folder) Size(name string) (int64, error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: %w", name, ErrNoFile)
	}
	return info.Size(), nil
}

// WriteOver is Write into the blocks that the file called spare has, which then takes
// the name: on a full disk that needs no room, if spare is as large.
func (f *Folder) WriteOver(spare, name string, data []byte) (err error) {
	file, err := f.root.OpenFile(spare, os.O_WRONLY|noFollow, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err == nil {
		err = errors.Join(file.Truncate(int64(len(data))), file.Sync())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return f.Rename(spare, name)
}

// Rename renames a file, replacing what has the new name.
func (f *Folder) Rename(from, to string) error {
	if err := f.root.Rename(from, to); err != nil {
		return err
	}
	return atomicfile.Sync(f.root)
}

// Remove deletes a file. A missing file is no error.
func (f *Folder) Remove(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return atomicfile.Sync(f.root)
}

// OpenExisting is Open for a folder that must be there, to read it.
func OpenExisting(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Folder{root: root}, nil
}
