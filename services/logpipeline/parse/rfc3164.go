package parse

import (
	"strconv"
	"strings"
)

// maxPriority is 23 facilities times 8 plus the lowest severity (RFC 5424, 6.2.1).
const maxPriority = 191

// parsePriority parses "<PRI>" and the rest: RFC 5424 if it has version 1, else
// RFC 3164, of which only the priority is required. It reports whether there is a priority.
func parsePriority(ev *Event, raw string) bool {
	pri, rest, ok := cutPriority(raw)
	if !ok {
		return false
	}
	if body, found := strings.CutPrefix(rest, "1 "); found && parseRFC5424(ev, body) {
		setPriority(ev, pri)
		return true
	}
	if !parseRFC3164(ev, rest) {
		parseTagged(ev, rest)
	}
	setPriority(ev, pri)
	return true
}

func cutPriority(raw string) (int, string, bool) {
	end := strings.IndexByte(raw[:min(len(raw), 5)], '>')
	if end < 2 {
		return 0, "", false
	}
	n, err := strconv.ParseUint(raw[1:end], 10, 8)
	if err != nil || n > maxPriority {
		return 0, "", false
	}
	return int(n), raw[end+1:], true
}

// parseRFC3164 parses "TIMESTAMP [HOSTNAME ]tag[pid]: message" and reports whether
// the line begins with a timestamp. The host name is missing in lines from the
// local socket.
func parseRFC3164(ev *Event, s string) bool {
	t, rest, ok := ev.settings.cutTimestamp(s)
	if !ok {
		return false
	}
	ev.Time = t
	word, afterWord, _ := strings.Cut(rest, " ")
	if !strings.HasSuffix(word, ":") && !strings.HasSuffix(word, "]") { // not yet the tag
		ev.Host, rest = word, afterWord
	}
	parseTagged(ev, rest)
	return true
}

// parseTagged parses "tag[pid]: message".
func parseTagged(ev *Event, s string) {
	ev.Format = RFC3164
	tag := cutTag(s)
	ev.Process, ev.PID, ev.Message = tag.process, tag.pid, tag.message
	if tag.name != tag.process {
		ev.set("tag", tag.name)
	}
}

// The names of syslog.conf(5), by number.
var (
	facilities = [...]string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// setPriority sets facility and severity.
func setPriority(ev *Event, pri int) {
	ev.set("facility", facilities[pri/8])
	ev.set("severity", severities[pri%8])
}
