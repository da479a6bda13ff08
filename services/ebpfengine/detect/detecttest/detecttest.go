// Package detecttest has the attacks in the captures of the data folder, which the tests of
// the detectors and of the packet program expect.
package detecttest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// Attack identifies an attack.
type Attack struct {
	Name, Method, Actor string
	Target              event.Endpoint
}

// Of returns the attack that a detection is about.
func Of(d detect.Detection) Attack { return Attack{d.Name, d.Method, d.Actor, d.Target} }

// Captures returns the attack in each capture, by file name below pcap; nil for none.
func Captures() map[string]*Attack {
	return map[string]*Attack{
		"port_scan.pcap":         {detect.PortScan, "syn", "192.168.2.154", event.Endpoint{IP: "192.168.2.22"}},
		"445_scan.pcap":          {detect.SlowScan, "syn", "176.192.150.3", event.Endpoint{IP: "192.168.27.86", Port: 445}},
		"syn_flood_200.pcap":     {detect.SYNFlood, "", "192.0.2.10", event.Endpoint{IP: "198.51.100.5", Port: 443}},
		"reflection_synack.pcap": {detect.Reflection, "tcp", detect.Spoofed, event.Endpoint{IP: "10.10.10.10"}},
		"backscatter.trace":      nil,
		"syn_retransmit.pcap":    nil,
	}
}

// Cases returns the attack in each capture of the folder of cases, by file name; nil for none.
func Cases() map[string]*Attack {
	return map[string]*Attack{
		"01_benign_30_open_ports.pcap":                   nil,
		"02_nmap_sO_protocol_scan.pcap":                  {detect.PortScan, "protocol", "10.191.1.22", event.Endpoint{IP: "10.191.1.1"}},
		"06_v6_200_ports_one_slash64.pcap":               {detect.PortScan, "syn", "2001:db8:1::/64", event.Endpoint{IP: "2001:db8:2::1"}},
		"07_v4_320_ports_from_40_addresses_of_a_24.pcap": {detect.PortScan, "syn", "198.51.100.0/24", event.Endpoint{IP: "192.0.2.1"}},
		"10_icmp_timestamp_sweep_60_hosts.pcap":          {detect.HostScan, "icmp", "198.51.100.9", event.Endpoint{IP: "192.0.2.1"}},
		"12_multiport_10_hosts_3_ports_3h44.pcap":        {detect.SlowScan, "syn", "125.27.226.209", event.Endpoint{IP: "192.168.228.35"}},
	}
}

// Require fails t unless found are the first to the last record of want and nothing else; a
// nil want is no attack.
func Require(t testing.TB, want *Attack, found []detect.Detection) {
	t.Helper()
	if want == nil {
		require.Empty(t, found)
		return
	}
	require.GreaterOrEqual(t, len(found), 2)
	for _, f := range found {
		require.Equal(t, *want, Of(f))
		require.NoError(t, f.Packet("web-1").Validate())
	}
	require.Equal(t, detect.PhaseBegun, found[0].Phase)
	require.Equal(t, detect.PhaseOver, found[len(found)-1].Phase)
}
