//go:build unix

package ownership

import (
	"os"
	"os/user"
	"strconv"
	"strings"
)

// privateGroup reports whether gid is the group of the user uid alone, as most systems make one for each user: what it may write, the user
// may. A group that /etc/group and /etc/passwd do not have is not known to be one.
func privateGroup(uid, gid uint32) bool {
	owner, err := user.LookupId(strconv.Itoa(int(uid)))
	number := strconv.Itoa(int(gid))
	if err != nil || owner.Gid != number {
		return false
	}
	found := false
	for fields := range records("/etc/group", 4) { // name, password, number, members
		if fields[2] != number {
			continue
		}
		found = true
		for member := range strings.SplitSeq(fields[3], ",") {
			if member != "" && member != owner.Username {
				return false
			}
		}
	}
	for fields := range records("/etc/passwd", 4) { // name, password, number, group
		if fields[3] == number && fields[2] != owner.Uid {
			return false
		}
	}
	return found
}

// records calls yield with the fields of each line of a file like /etc/passwd (passwd(5), group(5)) that has at least so many.
func records(path string, fields int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		text, err := os.ReadFile(path)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= fields && !yield(f) {
				return
			}
		}
	}
}
