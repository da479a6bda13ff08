package tail

import (
	"errors"
	"fmt"
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

// notRegularError is the error for a folder, a pipe, a socket or a device.
type notRegularError struct{ path, kind string }

func (e *notRegularError) Error() string {
	return fmt.Sprintf("%s is %s: only regular files are followed", e.path, e.kind)
}

func isNotRegular(err error) bool {
	_, ok := errors.AsType[*notRegularError](err)
	return ok
}

// statRegular describes the regular file that path leads to, links followed. The
// error is a notRegularError for anything else.
func statRegular(path string) (fileInfo, error) {
	info, err := statPath(path)
	if err == nil && info.kind != regular {
		err = &notRegularError{path, info.kind}
	}
	return info, err
}

// openRegular opens path for reading if it is a regular file. The stat comes first,
// because opening a device can have an effect.
func openRegular(path string) (*os.File, fileInfo, error) {
	if _, err := statRegular(path); err != nil {
		return nil, fileInfo{}, err
	}
	file, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, fileInfo{}, err
	}
	info, err := statFile(file)
	if err == nil && info.kind != regular {
		err = &notRegularError{path, info.kind}
	}
	if err != nil {
		closeRead(file)
		return nil, fileInfo{}, err
	}
	return file, info, nil
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
