package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one path may lead through, as for the kernel.
const maxLinks = 40

// walker resolves a path name by name, so that nobody can replace a part of it between a check and its use.
type walker struct {
	path   string
	rest   []string // names to come
	at     int      // descriptor (O_PATH) of what the names so far lead to
	stat   unix.Statx_t
	folder unix.Statx_t // in which at was found
	links  []uint32     // owners of the links that were followed, but for trusted ones
	hops   int
}

// walk resolves path and returns a descriptor (O_PATH), for the caller to close, of what it leads to. A symbolic link in any part of it is followed only if root,
// this process' user or the owner of what the path leads to made it; nothing in a file system of the kernel is reached.
func walk(path string) (w *walker, err error) {
	if w, ok := walkWithoutLinks(path); ok {
		return w, nil
	}
	w = &walker{path: path, at: -1}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	absolute, err := filepath.Abs(path)
	if err != nil {
		return w, w.failed(err)
	}
	if err := w.follow(absolute); err != nil {
		return w, err
	}
	for len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		if err := w.step(name); err != nil {
			return w, err
		}
	}
	for _, owner := range w.links {
		if owner != w.stat.Uid {
			return w, &refusedError{path, RefusedLink, fmt.Sprintf("leads over a symbolic link of user %d to what belongs to user %d: such a link is not followed; make it as root, or name the file itself", owner, w.stat.Uid)}
		}
	}
	return w, nil
}

// walkWithoutLinks is walk for a path without a symbolic link in it, which the kernel resolves at once (openat2(2)), to what has no other
// name. ok is false for any other path, and where there is nothing or that system call is not allowed.
func walkWithoutLinks(path string) (w *walker, ok bool) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if err != nil {
		return nil, false
	}
	w = &walker{path: path, at: fd}
	if w.describe() != nil || w.stat.Mode&unix.S_IFMT == unix.S_IFREG && w.stat.Nlink > 1 {
		w.close()
		return nil, false
	}
	return w, true
}

// follow puts the names of target before those to come; of an absolute one, from the root.
func (w *walker) follow(target string) error {
	names := slices.DeleteFunc(strings.Split(target, "/"), func(name string) bool { return name == "" || name == "." })
	w.rest = append(names, w.rest...)
	if !strings.HasPrefix(target, "/") {
		return nil
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.failed(err)
	}
	w.close()
	w.at = root
	return w.describe()
}

// step goes on to name in the folder reached, or to where name, a link, leads.
func (w *walker) step(name string) error {
	fd, err := unix.Openat(w.at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.failed(err)
	}
	link := walker{path: w.path, at: fd}
	if err := link.describe(); err != nil {
		link.close()
		return err
	}
	if link.stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		w.close()
		w.at, w.folder, w.stat = fd, w.stat, link.stat
		return nil
	}
	defer link.close()
	if w.hops++; w.hops > maxLinks {
		return w.failed(unix.ELOOP)
	}
	if !trusted(link.stat.Uid) {
		w.links = append(w.links, link.stat.Uid)
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", target)
	if err != nil {
		return w.failed(err)
	}
	return w.follow(string(target[:n]))
}

// describe stats what was reached, and refuses it in a file system of the kernel.
func (w *walker) describe() error {
	if err := unix.Statx(w.at, "", unix.AT_EMPTY_PATH, statxMask, &w.stat); err != nil {
		return w.failed(err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(w.at, &st); err != nil {
		return w.failed(err)
	}
	if kernelFileSystem(int64(st.Type)) {
		return &refusedError{w.path, RefusedKernel, "is in a file system of the kernel, as /proc and /sys are: nothing there is followed"}
	}
	return nil
}

func (w *walker) failed(err error) error { return &os.PathError{Op: "stat", Path: w.path, Err: err} }

func (w *walker) close() {
	if w.at >= 0 {
		_ = unix.Close(w.at) // nothing was written
		w.at = -1
	}
}

// info describes what was reached. The error is a refusedError for what is no file to follow.
func (w *walker) info() (fileInfo, error) {
	info := toFileInfo(&w.stat)
	switch {
	case info.kind != regular:
		return info, refuseKind(w.path, info.kind)
	case w.stat.Nlink > 1 && !w.ownFolder():
		return info, &refusedError{w.path, RefusedHardLink, fmt.Sprintf("is a second name of a file of user %d, in a folder where others make names: it is not followed; remove one of its names", w.stat.Uid)}
	}
	return info, nil
}

// ownFolder reports whether nobody but root and the owner of the file made its name.
func (w *walker) ownFolder() bool {
	return (trusted(w.folder.Uid) || w.folder.Uid == w.stat.Uid) && w.folder.Mode&unix.S_IWOTH == 0
}

// reopen opens what was reached, and nothing else.
func (w *walker) reopen(flags int) (*os.File, error) {
	file, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(w.at), flags, 0)
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = &os.PathError{Op: "open", Path: w.path, Err: pathErr.Err}
		if errors.Is(err, fs.ErrNotExist) { // the file is there: that is no rotation
			err = errors.New("/proc is needed to open " + w.path)
		}
	}
	return file, err
}

// trusted reports whether uid is root or this process' user.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// kernelFileSystem reports whether reading a file of this kind of file system asks the kernel (statfs(2)).
func kernelFileSystem(magic int64) bool {
	switch magic {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.CGROUP_SUPER_MAGIC,
		unix.CGROUP2_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.NSFS_MAGIC, unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC, unix.SELINUX_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.BINFMTFS_MAGIC:
		return true
	default:
		return false
	}
}
