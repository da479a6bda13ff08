package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// parseSquid parses the native access log of Squid, which has no blanks inside of a field:
//
//	1764446400.123    200 192.0.2.7 TCP_MISS/200 1234 GET http://example.com/a user HIER_DIRECT/198.51.100.1 text/html
func parseSquid(ev *Event, line string) bool {
	stamp, _, _ := strings.Cut(line, " ")
	at, ok := epochTime(stamp)
	if !ok {
		return false
	}
	words := strings.Fields(line)
	if len(words) < 9 {
		return false
	}
	result, status, ok := strings.Cut(words[3], "/")
	if !ok || !isMethod(words[5]) || !strings.Contains(words[8], "/") {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "proxy", Product: "squid"}
	ev.set("cs-method", words[5])
	ev.set("c-uri", words[6])
	ev.setURI(words[6])
	ev.set("cache_result", result)
	ev.setNumber("sc-status", status)
	ev.setNumber("sc-bytes", words[4])
	ev.setWebUser(decodePercent(words[7]))
	if _, server, ok := strings.Cut(words[8], "/"); ok {
		ev.set("dst_host", dashToEmpty(server))
	}
	ev.setClient(words[2])
	return true
}
