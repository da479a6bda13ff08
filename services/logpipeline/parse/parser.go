package parse

import (
	"bytes"
	"strings"
	"time"
)

// Format is the format in which a line was recognised.
type Format string

// The formats. The first character decides which parsers are tried:
//
//	{       JSON object                                 json.go
//	<       RFC 5424, else RFC 3164 with a priority     rfc5424.go, rfc3164.go
//	[       Apache error log                            apache_error.go
//	other   RFC 3164 without a priority, which begins   rfc3164.go
//	        with a timestamp; else access log           access.go
//
// The message of an RFC 3164 or 5424 line is then parsed by its program, see
// programs.go. A line that no parser recognises is Plain.
const (
	Plain       Format = "plain"
	RFC3164     Format = "rfc3164"
	RFC5424     Format = "rfc5424"
	JSON        Format = "json"
	Access      Format = "access"
	ApacheError Format = "apache_error"
	Journal     Format = "journal" // a message whose header came apart from it, see ParseMessage
)

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

// Parse parses line, which was received at now; now gives the year that RFC 3164
// timestamps lack. It does not keep line. It never fails: a line that is not
// recognised is Plain.
func (p *Parser) Parse(line []byte, now time.Time) Event {
	// Line ends and padding are no content; JSON output needs valid UTF-8.
	raw := strings.ToValidUTF8(string(bytes.TrimRight(line, "\r\n\x00")), "\uFFFD")
	ev := Event{Format: Plain, Message: raw, Fields: make(map[string]any, 16)}
	switch {
	case raw == "":
	case raw[0] == '{':
		parseJSON(&ev, raw)
	case raw[0] == '<':
		p.parsePriority(&ev, raw, now)
	case raw[0] == '[' && p.parseApacheError(&ev, raw):
	case p.parseRFC3164(&ev, raw, now):
	default:
		parseAccess(&ev, raw)
	}
	ev.addCommonFields(raw)
	return ev
}
