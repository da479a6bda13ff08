package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseNginxError parses the error log of nginx:
//
//	2026/11/29 20:00:00 [error] 7#7: *1 message, client: 192.0.2.7, server: www, request: "GET / HTTP/1.1", host: "www"
//
// nginx escapes nothing here. The message can have the path of the request before the client, and the request stands behind it.
func parseNginxError(ev *Event, line string) bool {
	const layout = "2006/01/02 15:04:05"
	if len(line) < len(layout)+2 || line[len(layout):len(layout)+2] != " [" {
		return false
	}
	at, err := time.ParseInLocation(layout, line[:len(layout)], ev.settings.zone)
	level, rest, ok := strings.Cut(line[len(layout)+2:], "] ")
	if err != nil || !ok || !nginxLevels[level] {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver", Product: "nginx", Service: "nginx"}
	ev.set("level", level)
	process, rest, _ := strings.Cut(rest, ": ")
	pid, _, _ := strings.Cut(process, "#")
	if n, err := strconv.ParseInt(pid, 10, 64); err == nil {
		ev.PID = n
	}
	if number, message, ok := strings.Cut(rest, " "); ok && strings.HasPrefix(number, "*") {
		ev.set("connection", number[1:])
		rest = message
	}
	ev.Message = rest
	parseNginxContext(ev, rest)
	if part, message, ok := cutBracket(rest); ok && strings.HasPrefix(part, "client ") { // before what ModSecurity writes
		rest = message
	}
	parseModSecurity(ev, rest)
	return true
}

var nginxLevels = map[string]bool{
	"debug": true, "info": true, "notice": true, "warn": true, "error": true, "crit": true, "alert": true, "emerg": true,
}

// leastNginxCut is the shortest message that may have been cut, in bytes: nginx cuts lines at 2047, syslog at no less than 1024, headers
// included (RFC 3164, 4.1).
const leastNginxCut = 700

// parseNginxContext parses what nginx adds to the message. If the text claims two clients, one of them is what a client wrote, and none is
// the source. Nor is there one if what nginx adds may have been cut off behind text of a client, which is in quotes: the client that is left
// may be in that text.
func parseNginxContext(ev *Event, s string) {
	const client = ", client: "
	message, rest, ok := strings.Cut(s, client)
	if !ok {
		return
	}
	peer := nginxClient(rest)
	forged := len(s) >= leastNginxCut && strings.Contains(message, `"`)
	for again := rest; ; {
		if _, again, ok = strings.Cut(again, client); !ok {
			break
		}
		forged = forged || nginxClient(again) != peer
	}
	if _, request, ok := strings.Cut(rest, `, request: "`); ok {
		ev.setRequest(nginxRequest(request))
	}
	if i := strings.LastIndex(rest, `, host: "`); i >= 0 {
		host, _, _ := strings.Cut(rest[i+len(`, host: "`):], `"`)
		ev.set("cs-host", host)
	}
	if !forged {
		ev.setClient(peer)
	}
}

func nginxClient(s string) string {
	peer, _, _ := strings.Cut(s, ",")
	peer, _, _ = strings.Cut(peer, " ")
	return peer
}

// nginxRequest returns the request of s, which begins behind its quote. It may contain quotes, so that only the one behind a protocol ends
// it: a request with a blank and a protocol inside is refused, and does no harm.
func nginxRequest(s string) string {
	for at := 0; ; at++ {
		i := strings.Index(s[at:], `", `)
		if i < 0 {
			return strings.TrimSuffix(s, `"`)
		}
		at += i
		if protocol := strings.LastIndexByte(s[:at], ' '); protocol >= 0 && at-protocol < 12 && strings.HasPrefix(s[protocol:], " HTTP/") {
			return s[:at]
		}
	}
}
