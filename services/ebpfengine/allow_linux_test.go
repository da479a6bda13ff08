package ebpfengine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// check asks the engine about an address.
func (r *rig) check(addr string) blocklist.CheckResponse {
	r.t.Helper()
	var answer blocklist.CheckResponse
	require.NoError(r.t, r.bus.Conn(bus.Operator).Request(r.t.Context(), bus.VerbSubject(bus.EBPFEngine, r.bus.Host(), blocklist.VerbCheck),
		map[string]string{"address": addr}, &answer))
	return answer
}

func TestAllowedAddressIsNeitherBlockedNorFound(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg := config(t, w.name)
	file := filepath.Join(t.TempDir(), "allow")
	require.NoError(t, os.WriteFile(file, []byte("# monitoring\n203.0.0.2 # probe\n  203.0.0.3/24\n"), 0o600))
	cfg.Allow = []string{"203.0.0.1", file}
	cfg.BlocklistFiles = []string{t.TempDir() + "/feed"}
	require.NoError(t, os.WriteFile(cfg.BlocklistFiles[0], []byte("198.18.0.1\n203.0.0.0/24\n"), 0o600))
	r := begin(t, bustest.New(t), cfg)
	require.True(t, r.reason(file+":3:3", "use 203.0.0.0/24"), "%v", r.Health().Reasons)
	r.block("203.0.0.0/24")
	r.blocked(w) // 203.0.0.7
	for port := range 100 {
		w.syn(address(1), 1000+port)
		w.syn(address(2), 1000+port)
	}
	r.eventually(func() bool { return r.Health().Counters["muted_detections"] >= 2 })
	require.GreaterOrEqual(t, r.Health().Counters["allowed"], uint64(200), "link-local packets of the kernel count too")
	require.Empty(t, r.records(event.Detection))
	require.EqualValues(t, 2, r.Health().Counters["allowed_prefixes"])

	answer := r.check("203.0.0.2")
	require.Equal(t, blocklist.PassAllowed, answer.Verdict)
	require.Equal(t, file+":2", answer.Allowed.From)
	require.Equal(t, []string{w.name}, answer.Interfaces)
	answer = r.check("203.0.0.7")
	require.Equal(t, blocklist.Blocked, answer.Verdict)
	require.Len(t, answer.Blocks, 1)
	require.NotZero(t, answer.Blocks[0].Packets)
	require.Equal(t, "operator", answer.Blocks[0].Source)
	require.Equal(t, cfg.BlocklistFiles[0], answer.Blocks[0].File)
	require.Equal(t, 2, answer.Blocks[0].Line)
	require.True(t, answer.Blocks[0].Enforced)
	require.Equal(t, blocklist.NotBlocked, r.check("192.0.2.77").Verdict)

	require.NoError(t, os.WriteFile(file, []byte("203.0.0.7\n"), 0o600))
	r.eventually(func() bool { return r.check("203.0.0.7").Verdict == blocklist.PassAllowed })
	require.Equal(t, blocklist.Blocked, r.check("203.0.0.2").Verdict, "the file no longer has it")
}

// What this host sends to an allowed address is no finding: the scan of a host beside it is one.
func TestScanOfAllowedTargetIsNotFound(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg := config(t, w.name)
	cfg.Allow = []string{"203.0.0.1"}
	r := begin(t, bustest.New(t), cfg)
	if r.Health().Counters["egress:"+w.name] == 0 {
		testenv.Require(t, "tcx", bpf.ErrNoEgress)
	}
	for port := range 100 {
		w.synOut(address(1), 1000+port)
		w.synOut(address(2), 1000+port)
	}
	r.eventually(func() bool { return len(r.records(event.Detection)) > 0 })
	r.stop() // which tells what is left
	for _, p := range r.records(event.Detection) {
		require.Equal(t, address(2).String(), p.Detection.Target.IP)
		require.Equal(t, "198.51.100.4", p.Detection.Actor)
	}
}

// rename renames the interface while it is up, as "ip link set X name Y" does (Linux 6.2), or down and up again.
func (w *wire) rename(name string) {
	w.t.Helper()
	l, err := netlink.LinkByName(w.name)
	require.NoError(w.t, err)
	require.NoError(w.t, netlink.LinkSetDown(l))
	require.NoError(w.t, netlink.LinkSetName(l, name))
	require.NoError(w.t, netlink.LinkSetUp(l))
	w.name = name
}

func TestRenamedInterfaceIsWatchedOn(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	before := w.name
	r := begin(t, bustest.New(t), config(t, w.name))
	r.block("203.0.0.0/24")
	r.blocked(w)
	w.rename(before + "r")
	r.eventually(func() bool { return r.reason(before+" is called "+w.name+" now", "put "+w.name+" into ebpf.interface") })
	r.blocked(w)
	for port := range 100 {
		w.syn(address(300), 1000+port)
	}
	r.eventually(func() bool { return len(r.records(event.Detection)) > 0 })
	require.EqualValues(t, 1, r.Health().Counters["mode_native:"+before])
	require.Equal(t, blocklist.Blocked, r.check("203.0.0.7").Verdict)
	w.rename(before)
	r.eventually(func() bool { return r.Health().Status == event.Healthy })
	r.blocked(w)
}

func TestBlocksWithoutAnInterfaceAreAReason(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	w.unplug()
	r := begin(t, bustest.New(t), config(t, w.name))
	require.False(t, r.reason("nothing enforces them"))
	r.block("203.0.0.0/24")
	r.eventually(func() bool { return r.reason("1 blocks are wanted and nothing enforces them") })
	require.Equal(t, blocklist.NotEnforced, r.check("203.0.0.7").Verdict)
	w.plug()
	r.eventually(func() bool { return r.Health().Status == event.Healthy })
	require.Equal(t, blocklist.Blocked, r.check("203.0.0.7").Verdict)
}
