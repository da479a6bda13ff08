package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseApacheError parses the error log of Apache 2.4 (ErrorLogFormat), of which 2.2 has only time, level and client:
//
//	[time] [module:level] [pid 7:tid 8] file.c(9): (13)Permission denied: [client 192.0.2.1:99] AH1: message, referer: http://r/
//
// The message has all that is behind the brackets before the client.
func parseApacheError(ev *Event, line string) bool {
	timestamp, rest, ok := cutBracket(line)
	if !ok {
		return false
	}
	at, ok := ev.settings.apacheTime(timestamp)
	if !ok {
		return false
	}
	level, rest, ok := cutBracket(rest)
	if !ok {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver", Product: "apache", Service: "apache"}
	if module, name, ok := strings.Cut(level, ":"); ok {
		ev.set("module", dashToEmpty(module))
		level = name
	}
	ev.set("level", level)
	ev.Message = parseApacheOrigin(ev, rest)
	return true
}

// apacheTime reads the forms of %t, %{u}t and %{cu}t.
func (s *settings) apacheTime(text string) (time.Time, bool) {
	layout := "Mon Jan _2 15:04:05 2006"
	if text != "" && text[0] >= '0' && text[0] <= '9' {
		layout = "2006-01-02 15:04:05"
	}
	at, err := time.ParseInLocation(layout, text, s.zone)
	return at, err == nil
}

// parseApacheOrigin parses what is behind the level, and returns the message.
func parseApacheOrigin(ev *Event, s string) string {
	if part, rest, ok := cutBracket(s); ok && strings.HasPrefix(part, "pid ") {
		pid, _, _ := strings.Cut(part[len("pid "):], ":")
		if n, err := strconv.ParseInt(pid, 10, 64); err == nil {
			ev.PID = n
		}
		s = rest
	}
	if _, referer, ok := strings.Cut(s, ", referer: "); ok {
		ev.set("cs-referer", referer)
	}
	text := s
	if part, rest, ok := cutBracket(cutApacheStatus(s)); ok {
		key, value, _ := strings.Cut(part, " ")
		if key == "client" || key == "remote" {
			parseApacheClient(ev, value)
			text = rest
		}
	}
	if part, rest, ok := cutBracket(text); ok && strings.HasPrefix(part, "client ") { // ModSecurity 2 repeats it
		text = rest
	}
	parseModSecurity(ev, text)
	return s
}

// cutApacheStatus returns s without "file.c(9): " and "(13)Permission denied: ", if a bracket follows.
func cutApacheStatus(s string) string {
	rest := s
	if file, more, ok := strings.Cut(rest, "): "); ok && len(file) < 64 && strings.Contains(file, ".c(") && !strings.Contains(file, " ") {
		rest = more
	}
	if strings.HasPrefix(rest, "(") {
		_, rest, _ = strings.Cut(rest, ": ")
	}
	if strings.HasPrefix(rest, "[client ") || strings.HasPrefix(rest, "[remote ") {
		return rest
	}
	return s
}

// parseApacheClient parses an address with or without a port, or a host name.
func parseApacheClient(ev *Event, s string) {
	peer, ok := parseHop(s)
	if !ok || !peer.addr.IsValid() { // an address of IPv6 with a port has no brackets here
		i := strings.LastIndexByte(s, ':')
		addr, isAddress := parseAddress(s[:max(i, 0)])
		port, isPort := parsePort(s[i+1:])
		if !isAddress || !isPort {
			ev.set("src_host", s)
			return
		}
		peer = hop{addr, port}
	}
	ev.setPeer(peer)
	if ev.SourceIP.IsValid() {
		ev.set("src_ip", ev.SourceIP.String())
	}
}

// cutBracket splits "[inside] rest".
func cutBracket(s string) (inside, rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return "", "", false
	}
	inside, rest, ok = strings.Cut(s[1:], "]")
	return inside, strings.TrimPrefix(rest, " "), ok
}
