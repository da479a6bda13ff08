package parse

import (
	"slices"

	"github.com/ironpost/ironpost/sigma"
)

// logfmtKeys are keys one of which every logger writes; other texts of pairs are no logfmt.
var logfmtKeys = []string{"level", "lvl", "severity", "time", "ts", "t", "timestamp", "caller", "logger"}

// parseLogfmt parses a text of pairs alone, as Go programs write it (github.com/kr/logfmt, log/slog.TextHandler):
//
//	time=2026-11-29T20:00:00Z level=warn msg="login failed" user=bob src_ip=192.0.2.7
//
// Its keys become fields, and mean what members of JSON of the same name mean.
func parseLogfmt(ev *Event, text string) bool {
	if _, _, ok := cutPair(text); !ok {
		return false
	}
	pairs, whole := cutPairs(text)
	isKnown := func(p pair) bool { return slices.Contains(logfmtKeys, p.key) }
	if !whole || len(pairs) < 2 || !slices.ContainsFunc(pairs, isKnown) {
		return false
	}
	ev.setPairs(pairs)
	level, _ := valueOf(pairs, "lvl", "severity")
	ev.setIfNew("level", level)
	ev.Logsource = sigma.Logsource{Category: "application"}
	ev.outerHost = ev.Host
	setKnownFields(ev)
	if ev.outerHost != "" { // of the header; a program means another machine by it
		ev.Host = ev.outerHost
	}
	if at, ok := ev.settings.accessTime(ev.text("t", "ts", "time", "timestamp")); ok {
		ev.Time = at
	}
	if parseWebJSON(ev) {
		return true
	}
	if peer, agreed := valueOf(pairs, "src_ip", "remote_addr", "remote", "client_addr", "remoteAddr"); agreed {
		if h, ok := parseHop(peer); ok && h.addr.IsValid() {
			ev.setClientHop(h)
		}
	} else {
		ev.SourceIP = noAddress
	}
	return true
}
