package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const regular = "regular"

// info is what a stat tells that matters here.
type info struct {
	id          FileID
	size, mtime int64
	kind        string // regular, or what it is instead
}

// String is the part of a position that names the file.
func (id FileID) String() string {
	b := strconv.AppendUint(nil, id.Dev, 16)
	b = strconv.AppendUint(append(b, '-'), id.Inode, 16)
	b = strconv.AppendInt(append(b, '-'), id.Birth, 16)
	return string(b)
}

// notRegularError is the answer to a path that leads to something without an end.
type notRegularError struct{ path, kind string }

func (e *notRegularError) Error() string {
	return fmt.Sprintf("%s is %s: only regular files are followed", e.path, e.kind)
}

// open opens path for reading if it is a regular file. It looks first, because
// opening a device can have an effect.
func open(path string) (*os.File, info, error) {
	in, err := look(path)
	if err != nil {
		return nil, info{}, err
	}
	if in.kind != regular {
		return nil, info{}, &notRegularError{path, in.kind}
	}
	return openRegular(path)
}

// release closes a file that was only read, or whose content is not needed any more.
func release(f *os.File) { _ = f.Close() }

func openRegular(path string) (*os.File, info, error) {
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, info{}, err
	}
	in, err := lookFile(f)
	if err == nil && in.kind != regular {
		err = &notRegularError{path, in.kind}
	}
	if err != nil {
		release(f)
		return nil, info{}, err
	}
	return f, in, nil
}

// resolve returns path with links followed, or path itself if that fails.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
