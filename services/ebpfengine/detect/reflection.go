package detect

import "fmt"

// reflectorProtocols are the protocols of services that are misused to amplify traffic, by
// port (CISA TA14-017A, UDP-Based Amplification Attacks).
var reflectorProtocols = map[uint16]string{
	17: "qotd", 19: "chargen", 53: "dns", 69: "tftp", 111: "portmap", 123: "ntp", 137: "netbios", 161: "snmp",
	389: "ldap", 427: "slp", 500: "isakmp", 520: "rip", 1194: "openvpn", 1434: "mssql", 1900: "ssdp",
	3283: "ard", 3389: "rdp", 3478: "stun", 3702: "wsd", 5060: "sip", 5351: "nat-pmp", 5353: "mdns",
	5683: "coap", 6881: "bittorrent", 11211: "memcached", 47808: "bacnet",
}

// reflectorProtocol names the protocol of a reflector's port.
func reflectorProtocol(port uint16) string {
	if name := reflectorProtocols[port]; name != "" {
		return name
	}
	return fmt.Sprintf("udp-%d", port)
}
