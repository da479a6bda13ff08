package replay_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
	"github.com/ironpost/ironpost/services/ebpfengine/replay"
)

// root is what loading the program takes.
func root(t testing.TB) {
	t.Helper()
	var err error
	if os.Geteuid() != 0 {
		err = fmt.Errorf("user %d is not root", os.Geteuid())
	}
	testenv.Require(t, "root", err)
}

// play judges a capture of the data folder by the program in the kernel.
func play(t testing.TB, name string) ([]detect.Finding, replay.Summary) {
	t.Helper()
	root(t)
	file, err := os.Open(testenv.Data(t, "pcap/"+name))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	r, err := capture.NewReader(file)
	require.NoError(t, err)
	var found []detect.Finding
	summary, err := replay.Run(t.Context(), r, replay.Options{
		Interface: name, Detect: detect.DefaultConfig(), Found: func(f detect.Finding) { found = append(found, f) },
	})
	require.NoError(t, err)
	return found, summary
}

// attack is what a capture holds.
type attack struct {
	name, method, actor string
	target              event.Endpoint
}

// Real captures through the program in the kernel: every attack with kind, actor and target, nothing where there is none, and
// the same again.
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
			found, summary := play(t, name)
			require.Equal(t, summary.Capture.Frames, summary.Packets, "every frame was counted")
			if want == nil {
				require.Empty(t, found)
				return
			}
			again, _ := play(t, name)
			require.Equal(t, found, again)
			require.GreaterOrEqual(t, len(found), 2)
			for _, f := range found {
				require.Equal(t, *want, attack{f.Name, f.Method, f.Actor, f.Target})
				require.NoError(t, f.Packet("web-1").Validate())
			}
			require.Equal(t, detect.Begun, found[0].Phase)
			require.Equal(t, detect.Over, found[len(found)-1].Phase)
		})
	}
}
