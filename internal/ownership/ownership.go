// Package ownership checks that only trusted users can change a file or folder: root, and the user as whom the
// daemon runs. As sshd's StrictModes does, it looks at the owner and the mode of the path, of every folder above it, and of
// what symbolic links on the way lead to.
package ownership

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks is how many symbolic links one path may lead through, as for the kernel of Linux.
const maxLinks = 40

// Users are the numbers of the users whose files are trusted; nil: everyone. Its methods may be called concurrently.
type Users []int

// Self returns root and the user of this process.
func Self() Users { return Users{0, os.Geteuid()} }

// Error is a path that another user can change. Its text has the command that mends it.
type Error struct {
	Path string
	What string // whose it is, or who may write to it
	Mend string // a command for a shell
}

// Error says which path it is, why it is not trusted, and what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s, so others than root and the daemon's user can change it: %s", e.Path, e.What, e.Mend)
}

// Check returns an *Error if a user who is not among u can change what path leads to or put something else in its place. A path that
// does not exist is checked as far as it does.
func (u Users) Check(path string) error {
	if u == nil {
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return u.walk(path, maxLinks)
}

// CheckTree is Check for path and, if it is a folder, for all folders below it and all files there with one of these extensions, or all
// files if there are none. The error is of the first one and says how many more there are.
func (u Users) CheckTree(path string, extensions ...string) error {
	if err := u.Check(path); u == nil || err != nil {
		return err
	}
	var first error
	more := 0
	_ = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it may be gone, or is not readable: whoever reads it says so
		}
		if name == path || !d.IsDir() && len(extensions) > 0 && !slices.Contains(extensions, filepath.Ext(name)) {
			return nil
		}
		switch err := u.below(name, d); {
		case err == nil:
		case first == nil:
			first = err
		default:
			more++
		}
		return nil
	})
	if more > 0 {
		return fmt.Errorf("%w (and %d more below %s)", first, more, path)
	}
	return first
}

// below checks an entry of a folder that is trusted.
func (u Users) below(path string, d fs.DirEntry) error {
	if d.Type()&fs.ModeSymlink != 0 {
		return u.Check(path)
	}
	info, err := d.Info()
	if err != nil {
		return nil
	}
	return u.checkInfo(path, info, false)
}

// walk checks each part of path, which is absolute.
func (u Users) walk(path string, links int) error {
	at := filepath.VolumeName(path) + string(filepath.Separator)
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), at), string(filepath.Separator))
	for i := -1; i < len(rest); i++ {
		if i >= 0 {
			at = filepath.Join(at, rest[i])
		}
		info, err := os.Lstat(at)
		if err != nil {
			return nil // what is not there, or is not to be seen, is not used
		}
		if err := u.checkInfo(at, info, i < len(rest)-1); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(at)
		if err != nil || links == 0 {
			return nil // whoever opens it says so
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		return u.walk(filepath.Join(append([]string{target}, rest[i+1:]...)...), links-1)
	}
	return nil
}
