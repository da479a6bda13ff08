package parse

import (
	"bytes"
	"strings"
	"time"
)

// Options set what a line cannot say. Location is the zone of clocks without one
// (RFC 3164 writes local time); nil is time.Local.
type Options struct {
	Location *time.Location
}

// Parser reads lines. It keeps no state and may be used by many goroutines.
type Parser struct {
	zone *time.Location
}

// New returns a Parser.
func New(o Options) *Parser {
	if o.Location == nil {
		o.Location = time.Local
	}
	return &Parser{zone: o.Location}
}

// Parse reads line, which was received at now; now supplies the year that RFC
// 3164 leaves out. It does not keep line. It never fails: see Plain.
func (p *Parser) Parse(line []byte, now time.Time) Event {
	raw := text(line)
	ev := Event{Format: Plain, Message: raw, Fields: make(map[string]any, 16)}
	p.detect(&ev, raw, now)
	finish(&ev, raw)
	return ev
}

// detect tries the formats that the first byte allows, the strictest first.
func (p *Parser) detect(ev *Event, raw string, now time.Time) {
	if raw == "" {
		return
	}
	switch first := raw[0]; {
	case first == '{':
		jsonObject(ev, raw)
	case first == '<':
		p.priority(ev, raw, now)
	case first == '[' && p.apacheError(ev, raw):
	case p.clocked(ev, raw, now):
	default:
		access(ev, raw)
	}
}

// finish adds the fields every event has. A JSON line's own fields of the same
// name stay as they are.
func finish(ev *Event, raw string) {
	add := func(name string, value any) {
		if _, taken := ev.Fields[name]; !taken {
			ev.Fields[name] = value
		}
	}
	add("message", ev.Message)
	ev.Fields["raw"] = raw
	if ev.Host != "" {
		add("host", ev.Host)
	}
	if ev.Process != "" {
		add("process", ev.Process)
	}
	if ev.PID != 0 {
		add("pid", ev.PID)
	}
}

// text drops what ends a line, or what a sender pads it with, and makes the rest
// valid UTF-8, for it goes into JSON.
func text(line []byte) string {
	return strings.ToValidUTF8(string(bytes.TrimRight(line, "\r\n\x00")), "\uFFFD")
}
