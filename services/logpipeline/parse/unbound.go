package parse

import (
	"strconv"
	"strings"
	"time"
)

// parseUnbound parses a query or a reply that unbound logs, with log-queries or log-replies:
//
//	[10:0] info: 192.0.2.7 www.example.net. A IN[ NOERROR 0.000 0 45]
//
// unbound escapes blanks in names.
func parseUnbound(ev *Event) {
	rest := ev.Message
	if thread, after, ok := strings.Cut(rest, "] "); ok && strings.HasPrefix(thread, "[") {
		rest = after
	}
	rest, ok := strings.CutPrefix(rest, "info: ")
	if !ok {
		return
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, "query: "), "reply: ")
	words := strings.Fields(rest)
	if len(words) < 4 {
		return
	}
	if _, ok := parseAddress(words[0]); !ok {
		return
	}
	ev.setSource(words[0])
	ev.setQuery(words[1], words[2])
	ev.set("class", words[3])
	if len(words) > 4 {
		ev.setAction("answer")
		ev.set("rcode", words[4])
	}
}

// parseUnboundFile parses a line of unbound's own file: "[1764446400] unbound[10:0] info: …".
func parseUnboundFile(ev *Event, line string) bool {
	stamp, rest, ok := strings.Cut(line[1:], "] unbound[")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || err != nil {
		return false
	}
	pid, rest, ok := strings.Cut(rest, "] ")
	if !ok {
		return false
	}
	pid, _, _ = strings.Cut(pid, ":")
	ev.PID, _ = strconv.ParseInt(pid, 10, 64)
	ev.Time = time.Unix(seconds, 0).UTC()
	ev.Message = rest
	ev.setProgram("unbound", "syslog")
	parseUnbound(ev)
	return true
}

// parseCoreDNS parses a line of CoreDNS's plug-in log, with or without a level before it. CoreDNS escapes blanks in names.
//
//	[INFO] 192.0.2.7:53211 - 4711 "A IN www.example.net. udp 41 false 512" NOERROR qr,rd,ra 106 0.01s
func parseCoreDNS(ev *Event, line string) bool {
	rest := strings.TrimPrefix(line, "[INFO] ")
	client, rest, _ := strings.Cut(rest, " - ")
	id, rest, ok := strings.Cut(rest, ` "`)
	question, rest, found := strings.Cut(rest, `" `)
	words := strings.Fields(question)
	if !ok || !found || len(words) != 7 || leadingDigits(id) != id || words[3] != "udp" && words[3] != "tcp" && words[3] != "tls" {
		return false
	}
	ev.setProgram("coredns", "syslog")
	ev.setAddress(client)
	ev.setQuery(words[2], words[0])
	ev.set("class", words[1])
	ev.set("protocol", words[3])
	rcode, _, _ := strings.Cut(rest, " ")
	ev.set("rcode", rcode)
	return true
}
