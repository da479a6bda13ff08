package tail

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// firstUserID is the first uid that is not of the system (UID_MIN of login.defs).
const firstUserID = 1000

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// statPath describes the regular file that path leads to, as walk follows it. The error is a refusedError for anything else.
func statPath(path string) (fileInfo, error) {
	w, err := walk(path)
	if err != nil {
		return fileInfo{}, err
	}
	defer w.close()
	return w.info()
}

// openRegular opens for reading what statPath describes. Nothing else is opened, not even for a moment: that could have an effect.
func openRegular(path string) (*os.File, fileInfo, error) {
	w, err := walk(path)
	if err != nil {
		return nil, fileInfo{}, err
	}
	defer w.close()
	info, err := w.info()
	if err != nil {
		return nil, info, err
	}
	file, err := w.reopen(openFlags)
	return file, info, err
}

// openFolder opens the folder that path leads to, as walk follows it.
func openFolder(path string) (*os.File, error) {
	w, err := walk(path)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.reopen(openFlags | unix.O_DIRECTORY)
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

// nextData returns where the data of f goes on at or after offset, behind a hole (lseek(2)); the end of the file if there is none.
func nextData(f *os.File, offset, size int64) int64 {
	at, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return offset
	}
	return at
}

// ownerOf returns the user whose share a file at path takes: who else than root can make names in its folder, or has made it.
func ownerOf(path string) uint32 {
	var folder, file unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &folder); err == nil && !trusted(folder.Uid) {
		return folder.Uid
	}
	if err := unix.Lstat(path, &file); err != nil || trusted(file.Uid) {
		return 0
	}
	return file.Uid
}

// openFlags keep open(2) from waiting for a pipe and from taking a terminal.
const openFlags = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
