//go:build unix

package ownership

import (
	"fmt"
	"io/fs"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// checkInfo checks one file, folder or link. What is above another path may be a folder like /tmp, in which everyone can make files, but only
// their owner, that of the folder, and root can replace them.
func (u Users) checkInfo(path string, info fs.FileInfo, above bool) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	mode := info.Mode()
	if !slices.Contains(u, int(st.Uid)) {
		what := fmt.Sprintf("belongs to user %s and has mode %04o", userName(st.Uid), permissions(mode))
		return &Error{Path: path, What: what, Mend: fmt.Sprintf("chown -h %s %s", ownerFor(u), quote(path))}
	}
	const group, others = 0o020, 0o002
	switch perm := mode.Perm(); {
	case mode&fs.ModeSymlink != 0, above && mode.IsDir() && mode&fs.ModeSticky != 0:
		return nil
	case perm&others != 0:
		what := fmt.Sprintf("of user %s may be written by everyone (mode %04o)", userName(st.Uid), permissions(mode))
		return &Error{Path: path, What: what, Mend: "chmod go-w " + quote(path)}
	case perm&group != 0 && (hasACL(path) || !privateGroup(st.Uid, st.Gid)):
		what := fmt.Sprintf("of user %s may be written by its group %s or by an access control list (mode %04o)", userName(st.Uid), groupName(st.Gid), permissions(mode))
		return &Error{Path: path, What: what, Mend: "chmod g-w " + quote(path)}
	}
	return nil
}

// permissions returns the mode as chmod takes it.
func permissions(mode fs.FileMode) uint32 {
	out := uint32(mode.Perm())
	for bit, octal := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			out |= octal
		}
	}
	return out
}

// ownerFor returns the user that what is not trusted should belong to: root, who is always among them.
func ownerFor(u Users) string {
	if len(u) > 1 && u[1] != 0 {
		return userNameOnly(uint32(u[1]))
	}
	return "root"
}

// quote returns path as one word of a shell.
func quote(path string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%="
	if strings.Trim(path, plain) == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func userNameOnly(uid uint32) string {
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		return u.Username
	}
	return strconv.Itoa(int(uid))
}

func userName(uid uint32) string { return fmt.Sprintf("%s (%d)", userNameOnly(uid), uid) }

func groupName(gid uint32) string {
	if g, err := user.LookupGroupId(strconv.Itoa(int(gid))); err == nil {
		return fmt.Sprintf("%s (%d)", g.Name, gid)
	}
	return strconv.Itoa(int(gid))
}
