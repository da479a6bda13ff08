package tail

import (
	"os"

	"golang.org/x/sys/unix"
)

// firstUserID is the first uid that is not of the system (UID_MIN of login.defs).
const firstUserID = 1000

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// statPath describes what path leads to, links followed.
func statPath(path string) (fileInfo, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, statxMask, &st); err != nil {
		return fileInfo{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return toFileInfo(&st), nil
}

// statFile describes an open file.
func statFile(f *os.File) (fileInfo, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, statxMask, &st); err != nil {
		return fileInfo{}, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return toFileInfo(&st), nil
}

func toFileInfo(st *unix.Statx_t) fileInfo {
	in := fileInfo{
		id:    FileID{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino},
		size:  int64(st.Size),
		mtime: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec),
		kind:  kindOf(uint32(st.Mode)),

		systemOwned: st.Uid < firstUserID && st.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		in.id.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return in
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return regular
	case unix.S_IFDIR:
		return "a folder"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	default:
		return "a device"
	}
}

// openFlags keep open(2) from waiting for a pipe and from taking a terminal.
const openFlags = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
