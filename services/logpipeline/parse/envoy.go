package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// parseEnvoy parses the default access log of Envoy ("Access logging", default format string), with the additions of Istio behind:
//
//	[time] "METHOD PATH PROTOCOL" status flags … received sent duration upstream "forwarded" "agent" "id" "authority" "upstream host"
//
// Envoy escapes no quotes: if there are more than it writes, where a field ends is not known, and only the request is read, to its furthest
// possible end.
func parseEnvoy(ev *Event, line string) bool {
	stamp, rest, ok := strings.Cut(line, `] "`)
	if !ok || len(stamp) > 40 {
		return false
	}
	at, ok := ev.settings.accessTime(stamp[1:])
	if !ok || strings.Contains(stamp, "/") {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver", Product: "envoy"}
	parts := envoyParts(strings.Split(rest, `"`))
	if parts == nil {
		ev.setRequest(rest[:max(strings.LastIndex(rest, " HTTP/"), 0)])
		return true
	}
	ev.setRequest(parts[0])
	status, _, _ := strings.Cut(strings.TrimLeft(parts[1], " "), " ")
	ev.setNumber("sc-status", status)
	ev.set("x-forwarded-for", dashToEmpty(parts[2]))
	ev.setAgent(parts[4])
	ev.set("cs-host", dashToEmpty(parts[8]))
	if hops, ok := cutHops(parts[2]); ok {
		if c, ok := ev.clientOf(hops); ok {
			ev.setClientHop(c)
		}
	}
	return true
}

// envoyParts returns the parts between the quotes, without those that Istio adds; nil unless there are as many as Envoy writes, with
// numbers where it writes them.
func envoyParts(parts []string) []string {
	const plain, istio = 12, 14
	switch len(parts) {
	case plain:
		if len(strings.Fields(parts[1])) == 6 {
			return parts
		}
	case istio:
		if len(strings.Fields(parts[1])) == 4 && len(strings.Fields(parts[3])) == 4 && strings.Trim(parts[3], "0123456789- ") == "" {
			return append(parts[:2], parts[4:]...)
		}
	}
	return nil
}
