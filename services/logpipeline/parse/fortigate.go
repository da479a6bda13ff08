package parse

import (
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// protocolNames are the protocols that firewalls name by number (IANA, protocol numbers).
var protocolNames = map[string]string{"1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "58": "ipv6-icmp", "132": "sctp"}

// parseFortiGate parses the log messages of FortiOS ("FortiOS Log Message Reference"):
//
//	date=2026-11-29 time=20:00:00 devname="FG1" logid="0100032002" type="event" subtype="system" level="alert" srcip=192.0.2.7 …
//
// Its keys are fields as they are, as rules for it expect.
func parseFortiGate(ev *Event, text string) bool {
	if _, _, ok := cutPair(text); !ok {
		return false
	}
	pairs, _ := cutPairs(text)
	for _, key := range [...]string{"logid", "type", "level"} {
		if !slices.ContainsFunc(pairs, func(p pair) bool { return p.key == key }) {
			return false
		}
	}
	kind, _ := valueOf(pairs, "type")
	ev.Logsource = sigma.Logsource{Product: "fortigate", Service: kind}
	ev.setEndpoints(pairs, []string{"srcip", "remip"}, []string{"srcport"}, []string{"dstip"}, []string{"dstport"})
	if user, agreed := valueOf(pairs, "user", "unauthuser"); agreed {
		ev.setUser(user)
	}
	if proto, _ := valueOf(pairs, "proto"); proto != "" {
		name := protocolNames[proto]
		if name == "" {
			name = proto
		}
		ev.set("protocol", name)
	}
	if uri, _ := valueOf(pairs, "url"); uri != "" {
		host, _ := valueOf(pairs, "hostname")
		ev.set("cs-host", host)
		ev.setURI(uri)
		ev.set("c-uri", uri)
	}
	agent, _ := valueOf(pairs, "agent")
	ev.setAgent(agent)
	if msg, _ := valueOf(pairs, "msg", "logdesc"); msg != "" {
		ev.Message = msg
	}
	if name, _ := valueOf(pairs, "devname"); ev.Host == "" {
		ev.Host = name
	}
	ev.setFortiTime(pairs)
	ev.setPairs(pairs)
	ev.Logsource.Category = fortiCategory(kind, ev)
	return true
}

// fortiCategory returns the category of the type of a message: none for those of the device itself.
func fortiCategory(kind string, ev *Event) string {
	switch {
	case kind == "utm" && ev.has("c-uri"):
		return "proxy"
	case kind == "traffic" || kind == "utm":
		return "firewall"
	}
	return ""
}

// setFortiTime sets the time: seconds or nanoseconds since 1970, or date, time and zone.
func (e *Event) setFortiTime(pairs []pair) {
	epoch, _ := valueOf(pairs, "eventtime")
	if at := since1970Text(epoch); !at.IsZero() {
		e.Time = at
		return
	}
	date, _ := valueOf(pairs, "date")
	clock, _ := valueOf(pairs, "time")
	zone, _ := valueOf(pairs, "tz")
	text := strings.TrimRight(date+" "+clock+" "+zone, " ")
	for _, layout := range [...]string{"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, e.settings.zone); err == nil {
			e.Time = at
			return
		}
	}
}
