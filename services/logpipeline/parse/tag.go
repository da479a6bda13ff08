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
	name, pid := cutPID(s[:end])
	process := programOf(name)
	if !isProgram(process) {
		return tag{message: s}
	}
	rest := cutLabel(s[end:])
	return tag{name: name, process: process, pid: pid, message: strings.TrimPrefix(strings.TrimPrefix(rest, ":"), " ")}
}

// tagEnd returns the end of the tag in s without its colon, -1 if s has none. The
// tag is one word, or two words of which the second is a version or has the pid,
// as in "syslogd 1.4.1:" and "-- root[7]:". "name[pid]" needs no colon.
func tagEnd(s string) int {
	first, rest, _ := strings.Cut(s, " ")
	if end := wordEnd(first); end >= 0 {
		return end
	}
	if strings.HasPrefix(first, "CISE_") { // Cisco ISE writes no colon
		return bounded(len(first))
	}
	second, _, _ := strings.Cut(rest, " ")
	end := wordEnd(second)
	if end <= 0 || first == "" {
		return -1
	}
	if !isVersion(second[:end]) && second[end-1] != ']' {
		return -1
	}
	return bounded(len(first) + 1 + end)
}

func isVersion(s string) bool {
	return isDigit(s[0]) && strings.Trim(s, "0123456789.-abcdefghijklmnopqrstuvwxyz") == ""
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

// cutLabel removes the " (label)" that launchd of macOS writes between the pid and the colon.
func cutLabel(s string) string {
	if !strings.HasPrefix(s, " (") {
		return s
	}
	end := strings.Index(s[:min(len(s), maxTag)], "):")
	if end < 0 {
		return s
	}
	return s[end+1:]
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

// isProgram reports whether name can be that of a program: it has a letter, and no character of structured text.
func isProgram(name string) bool {
	letter := false
	for i := range len(name) {
		switch c := name[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= 0x80:
			letter = true
		case c <= ' ', strings.IndexByte(`"'{}<>=,;|[\`, c) >= 0:
			return false
		}
	}
	return letter
}

// programOf returns the program of a tag, without path, PAM module and version.
// login(1) overwrites its name, so that "login -- root" is logged as "-- root";
// the name of a user must not be read as that of a program. journalctl -o with-unit has the unit in its place.
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
	if unit, ok := strings.CutSuffix(name, ".service"); ok {
		name, _, _ = strings.Cut(unit, "@")
		if name == "ssh" {
			name = "sshd"
		}
	}
	return name
}
