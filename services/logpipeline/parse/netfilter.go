package parse

import (
	"strconv"
	"strings"
)

// parseNetfilter parses a packet logged by iptables, nftables, UFW, firewalld or ulogd (nf_log_syslog.c):
//
//	[UFW BLOCK] IN=eth0 OUT= MAC=… SRC=192.0.2.7 DST=198.51.100.1 LEN=60 … PROTO=TCP SPT=4444 DPT=22 … SYN URGP=0
//
// The text before IN= is chosen by the administrator, the rest is written by the kernel. The first of several equal keys counts: an ICMP
// error repeats the header of the packet that it is about. A prefix with a quote is refused: the kernel quotes text of programs.
func parseNetfilter(ev *Event, msg string) bool {
	prefix, rest, ok := strings.Cut(msg, "IN=")
	if !ok || !strings.Contains(rest, " SRC=") || !strings.Contains(rest, " DST=") || strings.Contains(prefix, "'") {
		return false
	}
	ev.Logsource.Category = "firewall"
	ev.set("rule", strings.Trim(prefix, " :[]"))
	setVerdict(ev, prefix)
	var flags []string
	for word := range strings.FieldsSeq("IN=" + rest) {
		if strings.HasPrefix(word, "[SRC=") {
			break
		}
		key, value, isPair := strings.Cut(word, "=")
		if isTCPFlag(key) && !isPair {
			flags = append(flags, key)
		}
		setPacketField(ev, key, value)
	}
	if flags != nil {
		ev.setList("tcp_flags", flags)
	}
	return true
}

var packetFields = map[string]string{
	"IN": "in_interface", "OUT": "out_interface", "MAC": "mac", "DST": "dst_ip", "TYPE": "icmp_type", "CODE": "icmp_code", "TTL": "ttl",
	"UID": "uid", "MARK": "mark",
}

func setPacketField(ev *Event, key, value string) {
	switch key {
	case "SRC":
		if !ev.has("src_ip") {
			ev.setSource(value)
		}
	case "SPT":
		if n, err := strconv.ParseUint(value, 10, 16); err == nil && !ev.has("src_port") {
			ev.setPort(uint16(n))
		}
	case "DPT", "LEN":
		field := map[string]string{"DPT": "dst_port", "LEN": "length"}[key]
		if n, err := strconv.ParseUint(value, 10, 16); err == nil && !ev.has(field) {
			ev.setInt(field, int64(n))
		}
	case "PROTO":
		ev.set("protocol", strings.ToLower(value))
	default:
		if field := packetFields[key]; field != "" && !ev.has(field) {
			ev.set(field, value)
		}
	}
}

// setVerdict sets what the rule did, if its prefix says so; the kernel does not.
func setVerdict(ev *Event, prefix string) {
	prefix = strings.ToUpper(prefix)
	for _, v := range [...]struct{ word, action, blocked string }{
		{"REJECT", "reject", "true"},
		{"BLOCK", "drop", "true"},
		{"DROP", "drop", "true"},
		{"DENY", "drop", "true"},
		{"DENIED", "drop", "true"},
		{"ACCEPT", "accept", "false"},
		{"ALLOW", "accept", "false"},
	} {
		if strings.Contains(prefix, v.word) {
			ev.setAction(v.action)
			ev.set("blocked", v.blocked)
			return
		}
	}
}

func isTCPFlag(word string) bool {
	switch word {
	case "CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN":
		return true
	}
	return false
}
