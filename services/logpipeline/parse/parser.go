package parse

import "time"

// Options configure a Parser. Location is the time zone of timestamps without
// one, which RFC 3164 writes in local time; nil is time.Local.
type Options struct {
	Location *time.Location
}

// Parser parses lines. It has no state and is safe for concurrent use.
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

// Parse parses line, which was received at now from a source of which in is known; now gives the year that RFC 3164
// timestamps lack. It does not keep line. It never fails: a line that is not
// recognised is Plain.
func (p *Parser) Parse(line []byte, now time.Time, in Input) Event {
	var ev Event
	p.ParseInto(&ev, string(line), now, in)
	return ev
}

// ParseInto is Parse into ev, of which only the memory of its fields is used: no copy of them may be in use. What it sets shares the
// memory of line.
func (p *Parser) ParseInto(ev *Event, line string, now time.Time, in Input) {
	fields := ev.Fields
	fields.Reset()
	*ev = Event{Format: Plain, Fields: fields, settings: p.settings(now, in)}
	ev.parse(line)
}

// parse parses a line into e, which is new.
func (e *Event) parse(line string) {
	raw := decodeBytes(line)
	e.took("bytes", raw)
	parseLine(e, raw)
	e.finish(raw)
}

func (p *Parser) newEvent(now time.Time, in Input) Event {
	return Event{Format: Plain, settings: p.settings(now, in)}
}

func (p *Parser) settings(now time.Time, in Input) settings {
	zone := p.zone
	if in.Location != nil {
		zone = in.Location
	}
	return settings{zone: zone, now: now, input: in}
}
