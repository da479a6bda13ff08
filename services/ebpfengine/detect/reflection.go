package detect

import "fmt"

// reflectorProtocol returns the protocol of a service that is misused to amplify traffic,
// by its port (CISA TA14-017A, UDP-Based Amplification Attacks).
func reflectorProtocol(port uint16) string {
	switch port {
	case 17:
		return "qotd"
	case 19:
		return "chargen"
	case 53:
		return "dns"
	case 69:
		return "tftp"
	case 111:
		return "portmap"
	case 123:
		return "ntp"
	case 137:
		return "netbios"
	case 161:
		return "snmp"
	case 389:
		return "ldap"
	case 427:
		return "slp"
	case 500:
		return "isakmp"
	case 520:
		return "rip"
	case 1194:
		return "openvpn"
	case 1434:
		return "mssql"
	case 1900:
		return "ssdp"
	case 3283:
		return "ard"
	case 3389:
		return "rdp"
	case 3478:
		return "stun"
	case 3702:
		return "wsd"
	case 5060:
		return "sip"
	case 5351:
		return "nat-pmp"
	case 5353:
		return "mdns"
	case 5683:
		return "coap"
	case 6881:
		return "bittorrent"
	case 11211:
		return "memcached"
	case 47808:
		return "bacnet"
	}
	return fmt.Sprintf("udp-%d", port)
}
