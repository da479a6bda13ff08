package parse

import (
	"cmp"
	"strings"
)

// maxLayers bounds how many texts are parsed inside of each other: a syslog message in a record of Docker in a message, and so on.
const maxLayers = 6

// inner is a text that a layer found inside of its own, to be parsed next: a whole line, or only the message behind a header whose
// parts the layer has set.
type inner struct {
	text      string
	isMessage bool
}

// parseLine parses text as a whole line, layer by layer:
//
//	bytes      characters and the end of the line                       text.go
//	framing    an octet count before a syslog message                   framing.go
//	envelope   a record of a log shipper or a runtime around a line     envelopes, jsonEnvelopes
//	header     of syslog: time, host, program                           header.go, rfc5424.go
//	program    messages of one program                                  programs.go
//	format     recognised by its content                                formats.go
//
// Each layer hands what it does not understand to the next. What none understands stays the message.
func parseLine(ev *Event, text string) {
	ev.inner = inner{text: text}
	parseInner(ev)
	ev.settleTime()
	if ev.Format == Plain && ev.outermost != "" {
		ev.Format = ev.outermost
	}
}

// parseInner parses the text inside of a layer, and those inside of it.
func parseInner(ev *Event) {
	for range maxLayers {
		next := ev.inner
		ev.inner = inner{}
		if next == (inner{}) {
			return
		}
		if next.isMessage {
			ev.Message = cleanText(next.text)
			parseMessage(ev)
		} else {
			parseLayer(ev, cleanText(next.text))
		}
	}
	if ev.inner.text != "" {
		ev.Message = ev.inner.text
	}
}

// parseLayer parses one layer of text, and leaves the text inside of it, if there is one, in ev.inner.
func parseLayer(ev *Event, text string) {
	ev.Message = text
	if text == "" {
		return
	}
	text = cutOctetCount(ev, text)
	for _, e := range envelopes {
		if line, ok := e.cut(ev, text); ok {
			ev.took(string(e.name), strings.TrimSuffix(text, line))
			ev.Message, ev.inner.text = line, line
			ev.enter(e.name)
			return
		}
	}
	if isDayOfWeek(text) && parseDayFormat(ev, text) {
		return
	}
	if parseHeader(ev, text) {
		parseMessage(ev)
		return
	}
	if parseText(ev, text) {
		return
	}
	if at, message, ok := ev.settings.cutTimestamp(text); ok {
		ev.Time, ev.Message = at.at, text
		ev.took("time", text[:len(text)-len(message)])
	}
}

// parseDayFormat parses a line that begins with a day of the week, and reports whether it is of one of dayFormats.
func parseDayFormat(ev *Event, text string) bool {
	for _, f := range dayFormats {
		if f.recognises(ev, text) {
			return true
		}
	}
	return false
}

// recognises parses text if it is of the format, and reports whether it is.
func (f textFormat) recognises(ev *Event, text string) bool {
	if f.begin != "" && !strings.Contains(f.begin, text[:1]) {
		return false
	}
	ev.layer = f.name
	if !f.parse(ev, text) {
		return false
	}
	if ev.Format == Plain && ev.inner == (inner{}) {
		ev.Format = ev.layer
	}
	ev.took(string(ev.layer), text)
	return true
}

// parseText parses text by its content, and reports whether its format is known: it is a line without a header, or a message of a
// program that is not known.
func parseText(ev *Event, text string) bool {
	text = strings.TrimLeft(text, " \t")
	if text == "" {
		return false
	}
	if ev.parseDescribed(text) {
		return true
	}
	only := Format(ev.settings.input.Format)
	if only == RFC3164 || only == RFC5424 { // says nothing of the messages
		only = ""
	}
	for _, f := range textFormats {
		if (only == "" || f.name == only) && f.recognises(ev, text) {
			return true
		}
	}
	return false
}

// enter notes that there is a text inside of an envelope.
func (e *Event) enter(envelope Format) {
	e.layer = envelope
	e.outermost = cmp.Or(e.outermost, envelope)
}
