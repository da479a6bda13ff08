package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// maxPriority is 23 facilities times 8 plus the lowest severity (RFC 5424, 6.2.1).
const maxPriority = 191

// priority reads "<PRI>" and what follows: RFC 5424 if a version 1 does, else RFC
// 3164, of which the priority is all that must be there.
func (p *Parser) priority(ev *Event, raw string, now time.Time) {
	pri, rest, ok := cutPriority(raw)
	if !ok {
		return
	}
	if body, found := strings.CutPrefix(rest, "1 "); found && p.rfc5424(ev, body) {
		setPriority(ev, pri)
		return
	}
	if !p.clocked(ev, rest, now) {
		p.header(ev, rest)
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

// clocked reads a line that begins with a timestamp, and reports whether it does.
func (p *Parser) clocked(ev *Event, s string, now time.Time) bool {
	t, rest, ok := p.clock(s, now)
	if !ok {
		return false
	}
	ev.Time = t
	ev.Host, rest = cutHost(rest)
	p.header(ev, rest)
	return true
}

// cutHost takes the host name off, unless the tag follows the time at once, as
// when a program writes to the local socket and nobody adds the host.
func cutHost(s string) (host, rest string) {
	word, rest, _ := strings.Cut(s, " ")
	if strings.HasSuffix(word, ":") || strings.HasSuffix(word, "]") {
		return "", s
	}
	return word, rest
}

// header reads "tag[pid]: message" and hands the message to the program's parser.
func (p *Parser) header(ev *Event, s string) {
	ev.Format = RFC3164
	tag := cutTag(s)
	ev.Process, ev.PID, ev.Message = tag.process, tag.pid, tag.message
	if tag.name != tag.process {
		ev.set("tag", tag.name)
	}
	p.program(ev)
}

// setPriority names the two halves of pri as syslog.conf(5) does.
func setPriority(ev *Event, pri int) {
	facilities := [...]string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	severities := [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	ev.set("facility", facilities[pri/8])
	ev.set("severity", severities[pri%8])
}

// syslogLine is where lines of no program we know go.
func syslogLine() sigma.Logsource {
	return sigma.Logsource{Product: "linux", Service: "syslog"}
}
