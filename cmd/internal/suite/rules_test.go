package suite_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/rules"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// What the engine can find, a shipped rule says: else it would never be an alert.
func TestEveryDetectionHasARule(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		detect.PortScan, detect.HostScan, detect.BlockScan, detect.SlowScan, detect.SYNFlood, detect.UDPFlood, detect.ICMPFlood,
		detect.FragmentFlood, detect.TCPFlood, detect.Reflection, detect.ConnectionFlood,
	} {
		raw, err := fs.ReadFile(rules.FS, "net_"+name+".yml")
		require.NoError(t, err)
		require.Contains(t, strings.Split(string(raw), "\n"), "        name: "+name)
	}
}
