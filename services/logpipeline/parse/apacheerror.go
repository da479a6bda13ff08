package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// apacheError reads Apache's error log: "[clock] [module:level] [pid 7:tid 8]
// [client 192.0.2.1:99] message", of which 2.2 has only clock, level and client.
func (p *Parser) apacheError(ev *Event, line string) bool {
	clock, rest, ok := cutBracket(line)
	if !ok {
		return false
	}
	at, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", clock, p.zone)
	if err != nil {
		return false
	}
	level, rest, ok := cutBracket(rest)
	if !ok {
		return false
	}
	ev.Format, ev.Time = ApacheError, at
	ev.Logsource = sigma.Logsource{Product: "apache", Service: "error"}
	if module, name, ok := strings.Cut(level, ":"); ok {
		ev.set("module", module)
		level = name
	}
	ev.set("level", level)
	ev.Message = apacheOrigin(ev, rest)
	return true
}

// apacheOrigin reads the bracketed parts behind the level and returns the message. The
// client is the last of them: what looks like one behind it is the message, which a
// client may have written.
func apacheOrigin(ev *Event, s string) string {
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
			apacheClient(ev, value)
			return rest
		default:
			return s
		}
		s = rest
	}
}

func apacheClient(ev *Event, s string) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if n, err := strconv.ParseUint(s[i+1:], 10, 16); err == nil {
			if _, ok := address(s[:i]); ok {
				ev.source(s[:i])
				ev.port(uint16(n))
				return
			}
		}
	}
	ev.source(s)
}

// cutBracket reads "[inside] rest".
func cutBracket(s string) (inside, rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return "", "", false
	}
	inside, rest, ok = strings.Cut(s[1:], "]")
	return inside, strings.TrimPrefix(rest, " "), ok
}
