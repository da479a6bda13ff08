package parse

import "time"

// Header is what is known of a message beside its text: the fields of a syslog header, which a journal entry has one by one. Time is zero,
// PID 0 and a text empty where unknown. Process is the program as it named itself. Facility and Severity are names of syslog.conf(5).
type Header struct {
	Time               time.Time
	Host, Process      string
	PID                int64
	Facility, Severity string
	// Audit is the time and serial of the audit event that the message is a record of, as audit.ParseStamp reads it; "" for other messages.
	Audit string
}

// ParseMessage parses text, the message after the header h, in the format of its program. now is when it was received. Like Parse it never
// fails and may be called concurrently.
func (p *Parser) ParseMessage(h Header, text string, now time.Time, in Input) Event {
	raw := decodeBytes(text)
	ev := p.newEvent(now, in)
	ev.Format, ev.Time, ev.Host, ev.PID = Journal, h.Time, h.Host, h.PID
	ev.auditStamp = h.Audit
	ev.Process = programOf(h.Process)
	if h.Process != ev.Process {
		ev.set("tag", h.Process)
	}
	ev.set("host", h.Host) // proven: a member of that name in the message is another field
	ev.set("facility", h.Facility)
	ev.set("severity", h.Severity)
	ev.inner = inner{text: raw, isMessage: true}
	parseInner(&ev)
	ev.finish(raw)
	return ev
}
