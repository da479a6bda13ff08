package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// parseFilterlog parses the packet filter log of pfSense and OPNsense ("Raw filter log format"): values between commas, whose places depend
// on the version of IP and the protocol.
func parseFilterlog(ev *Event) {
	v := strings.Split(ev.Message, ",")
	if len(v) < 9 {
		return
	}
	ev.Logsource = sigma.Logsource{Category: "firewall", Product: "pfsense", Service: "filterlog"}
	ev.set("rule", v[0])
	ev.set("rule_id", v[3])
	ev.set("reason", v[5])
	ev.set("direction", v[7])
	switch v[7] {
	case "in":
		ev.set("in_interface", v[4])
	case "out":
		ev.set("out_interface", v[4])
	}
	setVerdict(ev, strings.Replace(v[6], "pass", "accept", 1))
	switch {
	case v[8] == "4" && len(v) >= 20:
		ev.set("ttl", v[11])
		setFilterlogPacket(ev, v[16], v[17:])
	case v[8] == "6" && len(v) >= 17:
		ev.set("ttl", v[11])
		setFilterlogPacket(ev, v[12], v[14:])
	}
}

// setFilterlogPacket sets length, source and destination, and the ports behind them.
func setFilterlogPacket(ev *Event, protocol string, v []string) {
	protocol = strings.ToLower(protocol)
	ev.set("protocol", protocol)
	ev.setNumber("length", v[0])
	ev.setSource(v[1])
	ev.set("dst_ip", v[2])
	if (protocol != "tcp" && protocol != "udp") || len(v) < 5 {
		return
	}
	if port, ok := parsePort(v[3]); ok {
		ev.setPort(port)
	}
	ev.setNumber("dst_port", v[4])
	if protocol == "tcp" && len(v) > 6 {
		ev.set("tcp_flags", v[6])
	}
}
