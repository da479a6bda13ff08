package parse

import "strings"

// maxLayers bounds how many texts are parsed inside of each other: a syslog message in a record of Docker in a message, and so on.
const maxLayers = 6

// parseLine parses text as a whole line, layer by layer:
//
//	envelope   a record of a log shipper or a runtime around a line     envelopes
//	header     of syslog: time, host, program                           rfc3164.go, rfc5424.go
//	program    messages of one program                                  programs.go
//	format     recognised by its content                                formats.go
//
// Each layer hands what it does not understand to the next. What none understands stays the message.
func parseLine(ev *Event, text string) {
	ev.Message = text
	if ev.layers++; text == "" || ev.layers > maxLayers {
		return
	}
	for _, e := range envelopes {
		if inner, ok := e.cut(ev, text); ok {
			ev.Format = e.name
			parseLine(ev, inner)
			return
		}
	}
	if parseHeader(ev, text) {
		parseMessage(ev)
		return
	}
	parseText(ev, text)
}

// parseHeader parses the header of a syslog line, and reports whether there is one.
func parseHeader(ev *Event, text string) bool {
	if text[0] == '<' {
		return parsePriority(ev, text)
	}
	return parseRFC3164(ev, text)
}

// parseText parses text by its content: it is a line without a header, or a message of a program that is not known.
func parseText(ev *Event, text string) {
	for _, f := range textFormats {
		if f.begin != "" && (text == "" || !strings.Contains(f.begin, text[:1])) {
			continue
		}
		if f.parse(ev, text) {
			if ev.Format == Plain {
				ev.Format = f.name
			}
			return
		}
	}
}
