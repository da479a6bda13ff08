package parse

import (
	"strconv"
	"strings"
	"time"
)

// Header is what is known of a message beside its text: the fields of a syslog header, which a journal entry has one by one. Time is zero,
// PID 0 and a text empty where unknown. Process is the program as it named itself. Facility and Severity are names of syslog.conf(5).
type Header struct {
	Time               time.Time
	Host, Process      string
	PID                int64
	Facility, Severity string
}

// ParseMessage parses text, the message after the header h, in the format of its program. now is when it was received. Like Parse it never
// fails and may be called concurrently.
func (p *Parser) ParseMessage(h Header, text string, now time.Time, in Input) Event {
	raw := strings.ToValidUTF8(strings.TrimRight(text, "\r\n\x00"), "\uFFFD")
	ev := p.newEvent(now, in)
	ev.Format, ev.Time, ev.Host, ev.PID, ev.Message = Journal, h.Time, h.Host, h.PID, raw
	ev.Process = programOf(h.Process)
	if h.Process != ev.Process {
		ev.set("tag", h.Process)
	}
	ev.set("facility", h.Facility)
	ev.set("severity", h.Severity)
	parseMessage(&ev)
	ev.finish(raw)
	return ev
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
