package detect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// attack is what a capture holds.
type attack struct {
	name, method, actor string
	target              event.Endpoint
}

// Real captures: every attack with kind, actor and target, and nothing where there is none.
func TestAttacksOfRealCaptures(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*attack{
		"port_scan.pcap":         {detect.PortScan, "syn", "192.168.2.154", event.Endpoint{IP: "192.168.2.22"}},
		"445_scan.pcap":          {detect.SlowScan, "syn", "176.192.150.3", event.Endpoint{IP: "192.168.27.86", Port: 445}},
		"syn_flood_200.pcap":     {detect.SYNFlood, "", "192.0.2.10", event.Endpoint{IP: "198.51.100.5", Port: 443}},
		"reflection_synack.pcap": {detect.Reflection, "tcp", detect.Spoofed, event.Endpoint{IP: "10.10.10.10"}},
		"backscatter.trace":      nil,
		"syn_retransmit.pcap":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := play(t, name)
			if want == nil {
				require.Empty(t, found)
				return
			}
			require.GreaterOrEqual(t, len(found), 2)
			for _, f := range found {
				require.Equal(t, *want, attack{f.Name, f.Method, f.Actor, f.Target})
			}
			require.Equal(t, detect.Begun, found[0].Phase)
			require.Equal(t, detect.Over, found[len(found)-1].Phase)
		})
	}
}
