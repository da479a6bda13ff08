package parse

import (
	"strings"
	"time"
)

// cutCRI parses a line of a container's log as the Kubernetes runtimes write it (kubelet, "CRI log format"):
//
//	2026-11-29T20:00:00.1Z stderr F message
//
// The tag is P for a part of a longer line, else F; more tags may follow it after colons.
func cutCRI(ev *Event, text string) (string, bool) {
	if !isDigit(text[0]) { // of most lines
		return "", false
	}
	stamp, rest, ok := strings.Cut(text, " ")
	stream, rest, hasStream := strings.Cut(rest, " ")
	tags, line, _ := strings.Cut(rest, " ")
	if !ok || !hasStream || stream != "stdout" && stream != "stderr" {
		return "", false
	}
	at, err := time.Parse(time.RFC3339Nano, stamp)
	kind, _, _ := strings.Cut(tags, ":")
	if err != nil || kind != "F" && kind != "P" {
		return "", false
	}
	ev.setEnvelopeTime(at)
	ev.set("stream", stream)
	if kind == "P" {
		ev.setFlag("partial")
	}
	return line, true
}
