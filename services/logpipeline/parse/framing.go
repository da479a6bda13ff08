package parse

import "strings"

// cutOctetCount removes the length before a syslog message, "57 <34>1 …" (RFC 6587, 3.4.1), as files and datagrams have it when a
// sender or a relay frames where there is nothing to frame. The count may be wrong.
func cutOctetCount(ev *Event, s string) string {
	n, rest, ok := cutNumber(s, 1, 7)
	if !ok || n == 0 || !strings.HasPrefix(rest, " <") {
		return s
	}
	if _, _, _, ok := cutPriority(rest[1:]); !ok {
		return s
	}
	ev.took("framing", s[:len(s)-len(rest)])
	return rest[1:]
}
