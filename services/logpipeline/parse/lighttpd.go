package parse

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseLighttpdError parses the error log of lighttpd:
//
//	2026-11-29 20:00:00: (server.c.1939) server started (lighttpd/1.4.69)
func parseLighttpdError(ev *Event, line string) bool {
	const layout = "2006-01-02 15:04:05"
	stamp, rest, ok := strings.Cut(line, ": (")
	file, message, closed := strings.Cut(rest, ") ")
	if !ok || !closed || len(stamp) != len(layout) || !strings.Contains(file, ".c.") {
		return false
	}
	at, err := time.ParseInLocation(layout, stamp, ev.settings.zone)
	if err != nil {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver", Product: "lighttpd"}
	ev.set("file", file)
	ev.Message = message
	return true
}
