package detect

import "fmt"

// protocols are names of IP protocols (IANA, Assigned Internet Protocol Numbers).
var protocols = map[uint8]string{
	2: "igmp", 4: "ipip", 8: "egp", 33: "dccp", 41: "6in4", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 88: "eigrp", 89: "ospf", 94: "ipip",
	97: "etherip", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 132: "sctp", 137: "mpls",
}

// protocolName names an IP protocol.
func protocolName(number uint8) string {
	if name := protocols[number]; name != "" {
		return name
	}
	return fmt.Sprintf("ip-%d", number)
}
