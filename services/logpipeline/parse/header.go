package parse

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// header is what the header of a syslog line says, and the message behind it. Time is zero and a text empty where it says nothing.
type header struct {
	tag

	format             Format
	at                 time.Time
	host, relay        string
	facility, severity string
	sequence           string // number that the sender counts its messages by
	msgid              string
	params             []param // of structured data
}

// parseHeader parses the header of a syslog line field by field, and reports whether there is one. A line that a relay wrote around
// a whole line of another host has two headers: the inner one counts, and the host of the outer one is the field relay.
func parseHeader(ev *Event, text string) bool {
	var h header
	if !ev.settings.cutHeader(&h, text) {
		return false
	}
	for range maxLayers {
		if h.name != "" {
			break
		}
		var inner header
		if !ev.settings.cutHeader(&inner, h.message) || inner.at.IsZero() && inner.name == "" {
			break
		}
		h = inner.within(h)
	}
	ev.setHeader(&h)
	ev.took("header", strings.TrimSuffix(text, h.message))
	return true
}

// within returns h with what only the header around it says.
func (h header) within(outer header) header {
	if h.relay == "" && h.host != "" && h.host != outer.host {
		h.relay = outer.host
	}
	if outer.relay != "" {
		h.relay = outer.relay
	}
	if h.host == "" {
		h.host = outer.host
	}
	if h.at.IsZero() {
		h.at = outer.at
	}
	if h.facility == "" && h.severity == "" {
		h.facility, h.severity = outer.facility, outer.severity
	}
	if h.sequence == "" {
		h.sequence = outer.sequence
	}
	if len(outer.params) > 0 {
		h.params = append(outer.params, h.params...)
	}
	return h
}

// setHeader sets what h says.
func (e *Event) setHeader(h *header) {
	e.Format = h.format
	if !h.at.IsZero() {
		e.Time = h.at
	}
	if h.host != "" {
		if e.Host != "" && e.Host != h.host && h.relay == "" {
			h.relay = e.Host
		}
		e.Host = h.host
	}
	if h.name != "" {
		e.Process, e.PID = h.process, h.pid
	}
	if h.name != h.process {
		e.set("tag", h.name)
	}
	e.set("relay", h.relay)
	e.set("facility", h.facility)
	e.set("severity", h.severity)
	e.set("sequence", h.sequence)
	e.set("msgid", h.msgid)
	for _, p := range h.params {
		e.setValue(p.name, p.value)
	}
	e.Message = decodeOctal(h.message)
}

// cutHeader parses one header into h, which is empty, and reports whether there is one. Without a priority it needs a time; and if lines of
// programs begin with such a time, too, a tag.
func (p *settings) cutHeader(h *header, s string) bool {
	s = strings.TrimLeft(s, " ")
	if s == "" {
		return false
	}
	hasPriority := false
	if s[0] == '<' {
		if h.facility, h.severity, s, hasPriority = cutPriority(s); !hasPriority {
			return false
		}
	}
	if rest, ok := cutVersion(s); ok {
		if p.cutRFC5424(h, rest) {
			return true
		}
		if _, _, ok := p.cutTimestamp(rest); ok {
			s = rest
		}
	}
	h.format = RFC3164
	s = strings.TrimLeft(s, " ")
	s = p.cutSequence(h, s)
	at, rest, ok := p.cutTimestamp(s)
	switch {
	case ok:
		h.at, s = at.at, rest
	case !hasPriority && h.sequence == "":
		return false
	default:
		h.tag = cutTag(s)
		return true
	}
	h.cutOrigin(s)
	return hasPriority || !at.common || h.name != "" && !isLevel(h.name) && (h.host != "" || at.isT)
}

// maxPriority is 23 facilities times 8 plus the lowest severity (RFC 5424, 6.2.1).
const maxPriority = 191

// cutPriority parses "<PRI>". The number of a facility that does not exist gives no facility and severity.
func cutPriority(s string) (facility, severity, rest string, ok bool) {
	n, rest, ok := cutNumber(s[1:], 1, 3)
	if !ok || !strings.HasPrefix(rest, ">") {
		return "", "", "", false
	}
	if n <= maxPriority {
		facility, severity = facilities[n/8], severities[n%8]
	}
	return facility, severity, rest[1:], true
}

// The names of syslog.conf(5), by number.
var (
	facilities = [...]string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// cutPriorityWords parses "auth.info" and "<auth.info>", which some daemons write into files, and the blanks after it.
func cutPriorityWords(s string) (facility, severity, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	if strings.HasPrefix(word, "<") && strings.HasSuffix(word, ">") {
		word = word[1 : len(word)-1]
	}
	facility, severity, ok = strings.Cut(word, ".")
	if !ok || len(word) > len("solaris-cron.warning") {
		return "", "", "", false
	}
	severity = severityName(severity)
	if !isOneOf(facilities[:], facility) || !isOneOf(severities[:], severity) {
		return "", "", "", false
	}
	return facility, severity, strings.TrimLeft(rest, " "), true
}

// severityName returns the name of syslog.conf(5) for one that others use, in any case.
func severityName(name string) string {
	name = strings.ToLower(name)
	switch name {
	case "panic", "emergency":
		return "emerg"
	case "critical", "fatal":
		return "crit"
	case "error":
		return "err"
	case "warn":
		return "warning"
	case "informational", "information":
		return "info"
	}
	return name
}

func isOneOf(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// cutSequence parses the number of a message and the host that Cisco devices write before the time, "000123: host1: ", and returns what
// comes after them.
func (p *settings) cutSequence(h *header, s string) string {
	rest := s
	if _, after, ok := cutNumber(s, 1, 10); ok && strings.HasPrefix(after, ": ") {
		rest = strings.TrimLeft(after[2:], " ")
		h.sequence = s[:len(s)-len(after)]
	}
	word, after, _ := strings.Cut(rest, " ")
	if host, ok := strings.CutSuffix(word, ":"); ok && isHost(host) {
		after = strings.TrimLeft(after, " ")
		if _, message, ok := p.cutTimestamp(after); ok && isCiscoMessage(message) {
			h.host, rest = host, after
		}
	}
	if h.sequence == "" || rest != s && h.host != "" || isCiscoMessage(rest) {
		return rest
	}
	if _, _, ok := p.cutTimestamp(rest); !ok {
		h.sequence = ""
		return s
	}
	return rest
}

// isCiscoMessage reports whether s begins as "%SYS-5-CONFIG_I:".
func isCiscoMessage(s string) bool {
	end := strings.IndexAny(s, ": ")
	return end > 0 && s[0] == '%' && s[end] == ':' && strings.Count(s[:end], "-") >= 2
}

// cutOrigin parses "[HOSTNAME ]tag[pid]: message". The host name is missing in lines from the local socket.
func (h *header) cutOrigin(s string) {
	s = h.cutPriorityWords(s)
	word, rest, _ := strings.Cut(s, " ")
	isTag := strings.HasSuffix(word, ":") || strings.HasSuffix(word, "]") && strings.Contains(word, "[")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case isTag && isCiscoMessage(rest):
		h.host, s = strings.TrimSuffix(word, ":"), rest
	case !isTag && h.host == "" && isHost(word) && repetitionOfLast(s) == 0:
		h.host, s = word, h.cutPriorityWords(rest)
		if s == ":" || strings.HasPrefix(s, ": ") { // Cisco ASA: "host : %ASA-…"
			s = strings.TrimLeft(s[1:], " ")
		}
	case word == "-": // a host that the relay does not know
		s = rest
	}
	h.tag = cutTag(s)
}

func (h *header) cutPriorityWords(s string) (rest string) {
	facility, severity, rest, ok := cutPriorityWords(s)
	if !ok {
		return s
	}
	h.facility, h.severity = facility, severity
	return rest
}

// maxHost bounds a host name in bytes (RFC 5424, 6.2.4).
const maxHost = 255

// isHost reports whether word can be the name or the address of a host. Words for levels cannot: other logs have them after the time.
func isHost(word string) bool {
	if word == "" || len(word) > maxHost {
		return false
	}
	named := false
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', isDigit(c), c >= 0x80:
			named = true
		case !strings.ContainsRune("-._:/@%~", rune(c)):
			return false
		}
	}
	return named && !isLevel(word)
}

// isLevel reports whether word is how programs call a severity.
func isLevel(word string) bool {
	return slices.ContainsFunc(levels[:], func(l string) bool { return len(l) == len(word) && l[0] == word[0]&^0x20 && strings.EqualFold(l, word) })
}

var levels = [...]string{
	"TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERR", "ERROR", "CRIT", "CRITICAL", "ALERT", "EMERG", "FATAL", "SEVERE",
}

// Facility returns the name of a syslog facility by its number in decimal (RFC 5424, table 1), "" if there is none.
func Facility(number string) string { return nameOf(facilities[:], number) }

// Severity returns the name of a syslog severity by its number in decimal (RFC 5424, table 2), "" if there is none.
func Severity(number string) string { return nameOf(severities[:], number) }

func nameOf(names []string, number string) string {
	n, err := strconv.ParseUint(number, 10, 8)
	if err != nil || n >= uint64(len(names)) {
		return ""
	}
	return names[n]
}
