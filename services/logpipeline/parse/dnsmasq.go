package parse

import "strings"

// parseDnsmasq parses the messages of dnsmasq about queries, with log-queries and log-queries=extra, as events of the category dns. A client
// chooses the name in a query; the answer may be text of whoever owns the name.
func parseDnsmasq(ev *Event) {
	msg := cutDnsmasqSerial(ev, ev.Message)
	if rest, ok := strings.CutPrefix(msg, "query["); ok {
		kind, rest, ok := strings.Cut(rest, "] ")
		from := strings.LastIndex(rest, " from ")
		if !ok || from < 0 {
			return
		}
		ev.setQuery(rest[:from], kind)
		ev.setSource(rest[from+len(" from "):])
		return
	}
	if dnsmasqPhrases.parse(ev, msg) {
		ev.Logsource.Category = "dns"
	}
}

var dnsmasqPhrases = compile(
	form{"reply {query} is {answer*}", "answer", ""},
	form{"cached {query} is {answer*}", "answer", ""},
	form{"cached-stale {query} is {answer*}", "answer", ""},
	form{"config {query} is {answer*}", "answer", ""},
	form{"gravity blocked {query} is {answer*}", "answer", "blocked=true"}, // Pi-hole
	form{"forwarded {query} to {dst_ip}", "forwarded", ""},
	form{"possible DNS-rebind attack detected: {query*}", "dns_rebind", ""},
)

// cutDnsmasqSerial removes "12 192.0.2.7/53211 " from the front: the number of the query and its client.
func cutDnsmasqSerial(ev *Event, msg string) string {
	number, rest, _ := strings.Cut(msg, " ")
	client, rest, ok := strings.Cut(rest, " ")
	ip, port, isClient := strings.Cut(client, "/")
	if !ok || !isClient || number == "" || leadingDigits(number) != number {
		return msg
	}
	if isCapture("port", port) {
		ev.capture("src", ip)
		ev.capture("port", port)
	}
	return rest
}

// setQuery sets the name and the type of a query to a name server.
func (e *Event) setQuery(name, kind string) {
	e.Logsource.Category = "dns"
	e.setAction("query")
	if len(name) > 1 {
		name = strings.TrimSuffix(name, ".")
	}
	e.set("query", name)
	if number, ok := strings.CutPrefix(strings.TrimPrefix(kind, "type="), "TYPE"); ok || number != kind {
		kind = "TYPE" + number
	}
	e.set("record_type", kind)
}

// parseDHCP parses the messages of dnsmasq and of ISC's dhcpd about leases:
//
//	DHCPACK(eth0) 192.0.2.9 00:11:22:33:44:55 laptop
//	DHCPACK on 192.0.2.9 to 00:11:22:33:44:55 (laptop) via eth0
//
// The client chooses its name.
func parseDHCP(ev *Event) {
	verb, _, _ := strings.Cut(ev.Message, "(")
	verb, _, _ = strings.Cut(verb, " ")
	if kind, ok := strings.CutPrefix(verb, "DHCP"); ok {
		if dhcpPhrases.parse(ev, strings.TrimPrefix(ev.Message, verb)) {
			ev.setAction("dhcp_" + strings.ToLower(kind))
		}
	}
}

var dhcpPhrases = compile(
	form{"({interface}) {ip} {mac} {host_name}", "dhcp", ""},
	form{"({interface}) {ip} {mac}", "dhcp", ""},
	form{"({interface}) {mac}", "dhcp", ""},
	form{" on {ip} to {mac} ({host_name*}) via {interface}", "dhcp", ""},
	form{" on {ip} to {mac} via {interface}", "dhcp", ""},
	form{" for {ip} from {mac} ({host_name*}) via {interface}", "dhcp", ""},
	form{" for {ip} from {mac} via {interface}", "dhcp", ""},
	form{" from {mac} via {interface}", "dhcp", ""},
)
