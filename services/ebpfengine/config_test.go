package ebpfengine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	require.Empty(t, ebpfengine.DefaultConfig().Validate())
}

func TestInterfaceNamesAreChecked(t *testing.T) {
	t.Parallel()
	c := ebpfengine.DefaultConfig()
	for _, good := range []string{"auto", "eth0", "eth0, wlan0", "veth.7-x"} {
		c.Interface = good
		require.Empty(t, c.Validate(), good)
	}
	for _, bad := range []string{"", "eth0,", "auto,eth0", "sixteen-letters-", "a/b", "a b", ".."} {
		c.Interface = bad
		require.Len(t, c.Validate(), 1, bad)
		require.Equal(t, "interface", c.Validate()[0].Key)
	}
	require.Equal(t, []string{"a", "b"}, ebpfengine.Config{Interface: " a, b"}.Interfaces())
}

func TestInvalidValuesAreReportedByKey(t *testing.T) {
	t.Parallel()
	c := ebpfengine.DefaultConfig()
	c.XDPMode, c.RingBufferSize, c.BlocklistMaxEntries = "drv", 5000, 0
	c.BlocklistFiles, c.PinPath, c.Detect.ScanPorts = []string{"/good", "relative"}, "/sys/fs/bpf/iron.post", 0
	var keys []string
	for _, p := range c.Validate() {
		keys = append(keys, p.Key)
	}
	require.Equal(t, []string{"xdp_mode", "ring_buffer_size", "blocklist_max_entries", "blocklist_files.1", "pin_path", "detect.scan_ports"}, keys)
}
