package parse

import (
	"strings"
	"time"
)

// parseNamed parses the messages of BIND about clients (ns/client.c, ns/query.c):
//
//	client @0x7f00 192.0.2.7#53211 (www.example.net): query: www.example.net IN TXT +E(0)K (198.51.100.1)
//	client 192.0.2.7#53211/key k: view v: update 'example.net/IN' denied
//
// BIND escapes blanks in names, so that no name can imitate the text behind it.
func parseNamed(ev *Event) {
	rest, ok := strings.CutPrefix(ev.Message, "client ")
	if !ok {
		return
	}
	if pointer, after, ok := strings.Cut(rest, " "); ok && strings.HasPrefix(pointer, "@") {
		rest = after
	}
	who, what, ok := strings.Cut(rest, ": ")
	address, _, _ := strings.Cut(who, " ")
	address, _, _ = strings.Cut(address, "/")
	ip, port, isClient := strings.Cut(address, "#")
	if !ok || !isClient || !isCapture("port", port) {
		return
	}
	ev.capture("src", ip)
	ev.capture("port", port)
	ev.Logsource.Category = "dns"
	if view, after, ok := strings.Cut(what, ": "); ok && strings.HasPrefix(view, "view ") {
		ev.set("view", view[len("view "):])
		what = after
	}
	parseNamedRequest(ev, what)
}

func parseNamedRequest(ev *Event, what string) {
	if query, ok := strings.CutPrefix(what, "query: "); ok {
		words := strings.Fields(query)
		if len(words) >= 3 {
			ev.setQuery(words[0], words[2])
			ev.set("class", words[1])
		}
		return
	}
	if namedPhrases.parse(ev, what) {
		name, kind, _ := strings.Cut(ev.text("query"), "/")
		kind, _, _ = strings.Cut(kind, "/")
		ev.set("query", name)
		if kind != "IN" {
			ev.set("record_type", kind)
		}
	}
}

var namedPhrases = compile(
	form{"query '{query}' denied", "denied", ""},
	form{"query (cache) '{query}' denied[[ ({reason*})]]", "denied", ""},
	form{"update '{query}' denied", "update_denied", ""},
	form{"zone transfer '{query}' denied", "transfer_denied", "record_type=AXFR"},
	form{"transfer of '{query}': AXFR started{_*}", "transfer_started", "record_type=AXFR"},
	form{"transfer of '{query}': IXFR started{_*}", "transfer_started", "record_type=IXFR"},
	form{"bad zone transfer request: '{query}': {reason*}", "transfer_denied", "record_type=AXFR"},
	form{"rate limit drop {_*}", "rate_limited", ""},
	form{"rate limit slip {_*}", "rate_limited", ""},
)

// parseNamedFile parses a line of a file that BIND writes, "29-Nov-2026 20:00:00.123 queries: info: client …", of which the category and
// the level may be missing.
func parseNamedFile(ev *Event, line string) bool {
	client := strings.Index(line, "client ")
	if client < 0 || client > maxNamedHead {
		return false
	}
	head := line[:client]
	at, rest, ok := cutNamedTime(ev, head)
	if !ok || strings.Count(rest, ": ") > 2 || strings.Trim(rest, namedHead) != "" {
		return false
	}
	ev.Message = line[client:]
	parseNamed(ev)
	if ev.Logsource.Category != "dns" {
		ev.Message = line
		return false
	}
	ev.Time = at
	ev.Process = "named"
	ev.Logsource.Product, ev.Logsource.Service = "linux", "syslog"
	return true
}

// cutNamedTime parses the default form of a time of BIND, "29-Nov-2026 20:00:00.123 ", and those of "print-time iso8601".
func cutNamedTime(ev *Event, s string) (at time.Time, rest string, ok bool) {
	const layout = "02-Jan-2006 15:04:05.000"
	if len(s) > len(layout) {
		if at, err := time.ParseInLocation(layout, s[:len(layout)], ev.settings.zone); err == nil {
			return at, s[len(layout):], true
		}
	}
	stamp, rest, ok := ev.settings.cutTimestamp(s)
	return stamp.at, rest, ok
}

// maxNamedHead bounds the text before a message; namedHead is its characters after the time.
const (
	maxNamedHead = 80
	namedHead    = "abcdefghijklmnopqrstuvwxyz-_ :"
)
