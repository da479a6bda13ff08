package parse

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseALB parses the access log of the Application Load Balancer of AWS ("Access logs", entry syntax), which escapes quotes inside of fields:
//
//	type time elb client:port target:port 3 times status status received sent "request" "agent" …
func parseALB(ev *Event, line string) bool {
	kind, _, _ := strings.Cut(line, " ")
	switch kind {
	case "http", "https", "h2", "grpcs", "ws", "wss":
	default:
		return false
	}
	head, rest, ok := strings.Cut(line, ` "`)
	words := strings.Fields(head)
	if !ok || len(words) != 12 {
		return false
	}
	at, err := time.Parse(time.RFC3339, words[1])
	peer, isHop := parseHop(words[3])
	request, rest, ok := cutQuoted(rest)
	if err != nil || !isHop || !ok {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver", Product: "aws", Service: "alb"}
	ev.setRequest(unescape(request))
	ev.setNumber("sc-status", words[8])
	ev.setNumber("sc-bytes", words[11])
	ev.set("elb", words[2])
	if agent, _, ok := cutQuoted(strings.TrimPrefix(rest, ` "`)); ok {
		ev.setAgent(unescape(agent))
	}
	ev.setPeer(peer)
	return true
}
