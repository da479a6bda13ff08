package detect

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// Mean sizes from which answers are a reflection: where large answers are common, as with DNS, and elsewhere (an NTP answer has
	// 90 bytes, the list that is misused 482).
	busyAmplified = 400
	amplified     = 120
	// An unknown service is misused if at least reflectorsOfPort servers send from its port, and reflectors from all such ports.
	reflectorsOfPort, reflectors = 4, 10
	// Without a view of requests, unknown ports need this many times the packets.
	unseenRequests = 3
	// reflectionMemory is for how long traffic from a port is no probe after it was reflected.
	reflectionMemory = 10 * time.Second
	// maxReflectors bounds the ports in memory.
	maxReflectors = 4096
)

// reflectorProtocols are the protocols of services that are misused to amplify traffic, by
// port (CISA TA14-017A, UDP-Based Amplification Attacks, and later reports).
var reflectorProtocols = map[uint16]string{
	17: "qotd", 19: "chargen", 53: "dns", 69: "tftp", 111: "portmap", 123: "ntp", 137: "netbios", 161: "snmp",
	389: "ldap", 427: "slp", 500: "isakmp", 520: "rip", 1194: "openvpn", 1434: "mssql", 1900: "ssdp",
	3283: "ard", 3389: "rdp", 3478: "stun", 3702: "wsd", 4500: "isakmp", 5060: "sip", 5093: "sentinel", 5351: "nat-pmp",
	5353: "mdns", 5683: "coap", 6881: "bittorrent", 10_001: "ubiquiti", 10_074: "tp240", 11_211: "memcached", 17_185: "vxworks",
	20_811: "citrix", 27_015: "steam", 32_414: "plex", 33_848: "jenkins", 37_021: "hikvision", 37_810: "dahua", 47_808: "bacnet",
}

// reflectorProtocol names the protocol of a reflector's port.
func reflectorProtocol(port uint16) string {
	if name := reflectorProtocols[port]; name != "" {
		return name
	}
	return fmt.Sprintf("udp-%d", port)
}

// conversationPorts are source ports of UDP from which many servers or peers send much to a host that asked for it: QUIC, VPN.
var conversationPorts = [...]uint16{443, 4500, 51_820}

// isReflected reports whether packets of an origin look like answers of misused servers: large and, unless the service is known to be
// misused, from many servers. With egress all of them are unsolicited. others is the number of sources of all unknown ports.
func isReflected(o traffic.Origin, t *traffic.Target, egress bool, others float64) bool {
	switch {
	case slices.Contains(busyPorts[:], o.Port):
		return o.Sources() >= manySources && o.Size >= busyAmplified
	case isReflectorPort(o.Port):
		return o.Proto == protoUDP && o.Size >= amplified
	}
	return isLargeFromUnknown(o, t, egress) && others >= reflectors
}

func isReflectorPort(port uint16) bool { return slices.Contains(traffic.ReflectorPorts[:], port) }

// isLargeFromUnknown reports whether an origin is large packets of several servers of an unknown service.
func isLargeFromUnknown(o traffic.Origin, t *traffic.Target, egress bool) bool {
	switch {
	case o.Proto != protoUDP || o.Port == 0 || o.Size < amplified || isReflectorPort(o.Port) || o.Sources() < reflectorsOfPort:
		return false
	case mainPort(t, float64(t.Packets)) == o.Port: // peers of a service that uses one port on both sides
		return false
	}
	return egress || !slices.Contains(conversationPorts[:], o.Port)
}

// reflectedPackets returns the reflected origins of the traffic to t, and the sum of their packets.
func reflectedPackets(t *traffic.Target, egress bool) (origins []traffic.Origin, packets float64) {
	var others float64
	for _, o := range t.Origins {
		if isLargeFromUnknown(o, t, egress) {
			others += o.Sources()
		}
	}
	for _, o := range t.Origins {
		if !isReflected(o, t, egress, others) {
			continue
		}
		origins = append(origins, o)
		n := float64(o.Packets)
		if !egress && !isReflectorPort(o.Port) {
			n /= unseenRequests
		}
		packets += n
	}
	return origins, packets
}

// reflections are the source ports from which traffic to a target is reflected. It is no probe: its senders are misused. They are
// found before the samples of a window are read.
type reflections struct {
	limit float64 // packets per second
	until map[netip.AddrPort]time.Time
	hit   map[netip.Addr]time.Time // by target
}

func newReflections(cfg Config) *reflections {
	return &reflections{limit: float64(cfg.ReflectionPPS) / 4, until: map[netip.AddrPort]time.Time{}, hit: map[netip.Addr]time.Time{}}
}

func (r *reflections) observe(w traffic.Window) {
	past := func(until time.Time) bool { return w.End.After(until) }
	for key, until := range r.until {
		if past(until) {
			delete(r.until, key)
		}
	}
	for key, until := range r.hit {
		if past(until) {
			delete(r.hit, key)
		}
	}
	least := r.limit * max(1, w.End.Sub(w.Start).Seconds())
	for i := range w.Targets {
		t := &w.Targets[i]
		origins, _ := reflectedPackets(t, w.Egress)
		for _, o := range origins {
			if float64(o.Packets) < least || len(r.until) >= maxReflectors {
				continue
			}
			r.until[netip.AddrPortFrom(t.Addr, o.Port)] = w.End.Add(reflectionMemory)
			r.hit[t.Addr] = w.End.Add(reflectionMemory)
		}
	}
}

// isFrom reports whether a sample is reflected traffic.
func (r *reflections) isFrom(s traffic.Sample) bool {
	_, found := r.until[netip.AddrPortFrom(s.Target.Addr(), s.Source.Port())]
	return found && s.Class == traffic.UDP
}

// explain reports whether the record of a source, which has no source ports, may count reflected traffic: it is mostly UDP to targets
// of a reflection.
func (r *reflections) explain(src *traffic.Source) bool {
	if len(r.hit) == 0 || 2*src.ByClass[traffic.UDP] < src.Packets || len(src.SampleHosts) == 0 {
		return false
	}
	return !slices.ContainsFunc(src.SampleHosts, func(host netip.Addr) bool { _, hit := r.hit[host]; return !hit })
}
