package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseApacheError parses the error log of Apache 2.4, of which 2.2 has only
// time, level and client:
//
//	[time] [module:level] [pid 7:tid 8] [client 192.0.2.1:99] message
func parseApacheError(ev *Event, line string) bool {
	timestamp, rest, ok := cutBracket(line)
	if !ok {
		return false
	}
	at, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", timestamp, ev.settings.zone)
	if err != nil {
		return false
	}
	level, rest, ok := cutBracket(rest)
	if !ok {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Product: "apache", Service: "error"}
	if module, name, ok := strings.Cut(level, ":"); ok {
		ev.set("module", module)
		level = name
	}
	ev.set("level", level)
	ev.Message = parseApacheOrigin(ev, rest)
	return true
}

// parseApacheOrigin parses the bracketed parts after the level and returns the
// message. The client is the last part: further brackets belong to the message,
// which the client may have written.
func parseApacheOrigin(ev *Event, s string) string {
	for {
		part, rest, ok := cutBracket(s)
		if !ok {
			return s
		}
		key, value, _ := strings.Cut(part, " ")
		switch key {
		case "pid":
			pid, _, _ := strings.Cut(value, ":")
			ev.PID, _ = strconv.ParseInt(pid, 10, 64)
		case "client":
			parseApacheClient(ev, value)
			return rest
		default:
			return s
		}
		s = rest
	}
}

// parseApacheClient parses an address with or without a port, or a host name.
func parseApacheClient(ev *Event, s string) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if n, err := strconv.ParseUint(s[i+1:], 10, 16); err == nil {
			if _, ok := parseAddress(s[:i]); ok {
				ev.setSource(s[:i])
				ev.setPort(uint16(n))
				return
			}
		}
	}
	ev.setSource(s)
}

// cutBracket splits "[inside] rest".
func cutBracket(s string) (inside, rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return "", "", false
	}
	inside, rest, ok = strings.Cut(s[1:], "]")
	return inside, strings.TrimPrefix(rest, " "), ok
}
