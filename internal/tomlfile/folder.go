package tomlfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFiles     = 1000 // in a folder
	maxFileBytes = 1 << 20
)

// File is the content of one file.
type File struct {
	Path string
	Data []byte
}

// Read reads the file path, or every *.toml of the folder path in the order of names, but not hidden files and folders below it. A link is
// followed within the folder only. Files that cannot be read, or that everyone may write, are added to problems. It returns an error if path
// itself cannot be read, which wraps fs.ErrNotExist if it does not exist.
func Read(path string, problems *Problems) ([]File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	folder, names := path, []string(nil)
	if !info.IsDir() {
		folder, names = filepath.Dir(path), []string{filepath.Base(path)}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read
	if names == nil {
		if names, err = listFiles(root); err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
	}
	files := make([]File, 0, len(names))
	for _, name := range names {
		file := File{Path: filepath.Join(folder, name)}
		if file.Data, err = readFile(root, name); err != nil {
			problems.Add(Position{File: file.Path}, "", "%v", err)
			continue
		}
		files = append(files, file)
	}
	return files, nil
}

func listFiles(root *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("%d files, allowed are %d", len(names), maxFiles)
	}
	slices.Sort(names)
	return names, nil
}

var errWorldWritable = errors.New("may be written by everyone, so anyone could change what it makes the daemon do: chmod o-w")

// readFile returns the content of a regular file that only its owner and group may write.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() { // checked before it is opened: a FIFO would wait for a writer
		return nil, errors.New("is not a regular file")
	}
	if info.Mode().Perm()&0o002 != 0 && filepath.Separator == '/' {
		return nil, errWorldWritable
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("is larger than %d bytes", maxFileBytes)
	}
	return data, err
}

// withoutPath drops the path, which the problem's position has.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}
	return err
}
