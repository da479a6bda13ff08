package parse

import (
	"strconv"
	"strings"
)

// maxTag bounds a tag in bytes. RFC 3164 says 32; systemd units and paths are
// longer.
const maxTag = 128

// tag is the beginning of an RFC 3164 message.
type tag struct {
	name    string // as written, such as "sshd(pam_unix)" or "syslogd 1.4.1"
	process string // the program alone
	pid     int64
	message string
}

// cutTag parses "name[pid]: message". Without a tag all of s is the message.
func cutTag(s string) tag {
	s = strings.TrimLeft(s, " ")
	end := tagEnd(s)
	if end < 0 {
		return tag{message: s}
	}
	head, rest := s[:end], strings.TrimPrefix(s[end:], ":")
	name, pid := cutPID(head)
	if name == "" {
		return tag{message: s}
	}
	return tag{name: name, process: programOf(name), pid: pid, message: strings.TrimPrefix(rest, " ")}
}

// tagEnd returns the end of the tag in s without its colon, -1 if s has none. The
// tag is one word, or two words of which the second is a version or has the pid,
// as in "syslogd 1.4.1:" and "-- root[7]:". "name[pid]" needs no colon.
func tagEnd(s string) int {
	first, rest, _ := strings.Cut(s, " ")
	if end := wordEnd(first); end >= 0 {
		return end
	}
	second, _, _ := strings.Cut(rest, " ")
	end := wordEnd(second)
	if end <= 0 || first == "" {
		return -1
	}
	if isVersion := second[0] >= '0' && second[0] <= '9'; !isVersion && second[end-1] != ']' {
		return -1
	}
	return bounded(len(first) + 1 + end)
}

// wordEnd returns the end of the tag inside of one word, or -1. A colon further
// inside, as in a URL or an address, does not end a tag.
func wordEnd(word string) int {
	if i := strings.Index(word, "]:"); i >= 0 {
		return bounded(i + 1)
	}
	if strings.HasSuffix(word, ":") {
		return bounded(len(word) - 1)
	}
	if strings.HasSuffix(word, "]") && strings.Contains(word, "[") {
		return bounded(len(word))
	}
	return -1
}

// bounded returns n, or -1 if a tag of that length is too long.
func bounded(n int) int {
	if n > maxTag {
		return -1
	}
	return n
}

// cutPID splits "name[pid]".
func cutPID(head string) (string, int64) {
	open := strings.LastIndexByte(head, '[')
	if open < 0 || !strings.HasSuffix(head, "]") {
		return head, 0
	}
	pid, err := strconv.ParseInt(head[open+1:len(head)-1], 10, 64)
	if err != nil || pid < 0 {
		return head[:open], 0
	}
	return head[:open], pid
}

// programOf returns the program of a tag, without path, PAM module and version.
// login(1) overwrites its name, so that "login -- root" is logged as "-- root";
// the name of a user must not be read as that of a program.
func programOf(name string) string {
	if strings.HasPrefix(name, "-- ") {
		return "login"
	}
	name, _, _ = strings.Cut(name, " ")
	if i := strings.IndexByte(name, '('); i > 0 && strings.HasSuffix(name, ")") {
		name = name[:i]
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 && strings.HasPrefix(name, "/") {
		name = name[i+1:]
	}
	return name
}
