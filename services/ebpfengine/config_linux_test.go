package ebpfengine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

func TestXDPModeIsUsed(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg, b := config(t, w.name), bustest.New(t)
	for _, mode := range []attach.Mode{attach.SKB, attach.Native} {
		cfg.XDPMode = string(mode)
		r := begin(t, b, cfg)
		require.EqualValues(t, 1, r.Health().Counters["mode_"+string(mode)+":"+w.name])
		require.Empty(t, r.Health().Reasons)
		r.stop()
	}
	cfg.XDPMode = string(attach.HW)
	r := begin(t, b, cfg)
	require.True(t, r.reason(w.name, "not watched", "mode hw"), "%v", r.Health().Reasons)
}

func TestSeveralInterfacesAreWatched(t *testing.T) {
	t.Parallel()
	one, two := newWire(t), newWire(t)
	r := begin(t, bustest.New(t), config(t, one.name+", "+two.name))
	one.syn(address(1), 80)
	two.syn(address(2), 80)
	r.eventually(func() bool {
		c := r.Health().Counters
		return c["packets:"+one.name] > 0 && c["packets:"+two.name] > 0
	})
	r.eventually(func() bool {
		seen := map[string]bool{}
		for _, p := range r.records(event.Window) {
			seen[p.Interface] = true
		}
		return seen[one.name] && seen[two.name]
	})
}

func TestEntriesOfFilesBeyondTheLimitAreReported(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg := config(t, w.name)
	feed := filepath.Join(t.TempDir(), "feed")
	var lines strings.Builder
	for n := range 100 {
		fmt.Fprintf(&lines, "%s\n", address(2*n)) // no two of them can be collapsed
	}
	require.NoError(t, os.WriteFile(feed, []byte(lines.String()), 0o600))
	cfg.BlocklistFiles, cfg.BlocklistMaxEntries = []string{feed}, 60
	r := begin(t, bustest.New(t), cfg)
	r.eventually(func() bool { return r.Health().Counters["blocklist_feed_entries"] == 60 })
	require.EqualValues(t, 40, r.Health().Counters["blocklist_overflow"])
	require.True(t, r.reason("40 of files are not enforced", "blocklist_max_entries"), "%v", r.Health().Reasons)
}

func TestPinsAreBelowPinPath(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg := config(t, w.name)
	begin(t, bustest.New(t), cfg).stop()
	pins, err := filepath.Glob(cfg.PinPath + "/net-*/*")
	require.NoError(t, err)
	require.NotEmpty(t, pins)
}

func TestRingBufferSizeIsUsed(t *testing.T) {
	t.Parallel()
	size := func(ring int) bool {
		w := newWire(t)
		cfg := config(t, w.name)
		cfg.RingBufferSize = ring
		r := begin(t, bustest.New(t), cfg)
		defer r.stop()
		return hasRing(t, uint32(ring))
	}
	require.True(t, size(32<<10))
	require.True(t, size(2<<20))
}

// hasRing reports whether the kernel has a ring buffer of that size.
func hasRing(t *testing.T, size uint32) bool {
	t.Helper()
	for id, err := ebpf.MapGetNextID(0); err == nil; id, err = ebpf.MapGetNextID(id) {
		m, openErr := ebpf.NewMapFromID(id)
		if openErr != nil {
			continue // gone meanwhile
		}
		found := m.Type() == ebpf.RingBuf && m.MaxEntries() == size
		require.NoError(t, m.Close())
		if found {
			return true
		}
	}
	return false
}

func TestDetectThresholdsAreUsed(t *testing.T) {
	t.Parallel()
	scan := func(ports int) uint64 {
		w := newWire(t)
		cfg := config(t, w.name)
		cfg.Detect.ScanPorts = ports
		r := begin(t, bustest.New(t), cfg)
		for port := range 30 {
			w.syn(address(1), 1000+port)
		}
		r.eventually(func() bool { return r.Health().Counters["packets"] >= 30 })
		r.stop()
		return r.Health().Counters["announced_port_scan"]
	}
	require.NotZero(t, scan(ebpfengine.DefaultConfig().Detect.ScanPorts))
	require.Zero(t, scan(40))
}
