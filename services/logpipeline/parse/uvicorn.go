package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// parseUvicorn parses the access log of uvicorn, which has no time:
//
//	INFO:     192.0.2.7:52012 - "GET / HTTP/1.1" 200 OK
//
// It does not escape quotes in a query, so that the last one ends the request.
func parseUvicorn(ev *Event, text string) bool {
	text = strings.TrimLeft(strings.TrimPrefix(text, "INFO:"), " ")
	client, rest, ok := strings.Cut(text, ` - "`)
	peer, isHop := parseHop(client)
	if !ok || !isHop || peer.port == 0 {
		return false
	}
	end := strings.LastIndex(rest, `" `)
	if end < 0 {
		return false
	}
	status, _, _ := strings.Cut(rest[end+2:], " ")
	if len(status) != 3 || !isRequestLine(rest[:end]) {
		return false
	}
	ev.Logsource = sigma.Logsource{Category: "webserver"}
	ev.setRequest(rest[:end])
	ev.setNumber("sc-status", status)
	ev.setPeer(peer)
	return true
}
