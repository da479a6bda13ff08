package parse

import (
	"strconv"
	"strings"
	"time"
)

// maxPriority is 23 facilities times 8 plus the lowest severity (RFC 5424, 6.2.1).
const maxPriority = 191

// parsePriority parses "<PRI>" and the rest: RFC 5424 if it has version 1, else
// RFC 3164, of which only the priority is required.
func (p *Parser) parsePriority(ev *Event, raw string, now time.Time) {
	pri, rest, ok := cutPriority(raw)
	if !ok {
		return
	}
	if body, found := strings.CutPrefix(rest, "1 "); found && p.parseRFC5424(ev, body) {
		setPriority(ev, pri)
		return
	}
	if !p.parseRFC3164(ev, rest, now) {
		parseTagged(ev, rest)
	}
	setPriority(ev, pri)
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
func (p *Parser) parseRFC3164(ev *Event, s string, now time.Time) bool {
	t, rest, ok := p.cutTimestamp(s, now)
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

// parseTagged parses "tag[pid]: message" and then the message.
func parseTagged(ev *Event, s string) {
	ev.Format = RFC3164
	tag := cutTag(s)
	ev.Process, ev.PID, ev.Message = tag.process, tag.pid, tag.message
	if tag.name != tag.process {
		ev.set("tag", tag.name)
	}
	parseProgram(ev)
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
