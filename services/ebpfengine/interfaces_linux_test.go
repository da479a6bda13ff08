package ebpfengine_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

// route adds a default route over the interface; remove removes it.
func (w *wire) route(address, gateway string) (remove func()) {
	w.t.Helper()
	l, err := netlink.LinkByName(w.name)
	require.NoError(w.t, err)
	addr, err := netlink.ParseAddr(address)
	require.NoError(w.t, err)
	require.NoError(w.t, netlink.AddrAdd(l, addr))
	route := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(gateway)}
	require.NoError(w.t, netlink.RouteAdd(route))
	return func() { require.NoError(w.t, netlink.RouteDel(route)) }
}

// watched reports whether a program is attached to the interface.
func (w *wire) watched() bool {
	w.t.Helper()
	found, missing, err := attach.Find([]string{w.name})
	require.NoError(w.t, err)
	require.Empty(w.t, missing)
	return found[0].ProgramID != 0
}

// blocked waits until the network of address() is blocked.
func (r *rig) blocked(w *wire) {
	r.t.Helper()
	before := r.Health().Counters["blocked"]
	r.eventually(func() bool {
		w.syn(address(7), 80)
		return r.Health().Counters["blocked"] > before
	})
}

func TestInterfaceIsWatchedWhenItComesAgain(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	w.unplug()
	r := begin(t, bustest.New(t), config(t, w.name))
	require.Equal(t, event.Degraded, r.Health().Status)
	require.True(t, r.reason(w.name, "is not there"), "%v", r.Health().Reasons)
	for range 3 {
		w.plug()
		r.eventually(func() bool {
			return r.Health().Status == event.Healthy && r.Health().Counters["mode_native:"+w.name] == 1
		})
		before := r.Health().Counters["packets:"+w.name]
		w.syn(address(1), 80)
		r.eventually(func() bool { return r.Health().Counters["packets:"+w.name] > before })
		w.unplug()
		r.eventually(func() bool { return r.reason(w.name, "is not there") })
		require.GreaterOrEqual(t, r.Health().Counters["packets:"+w.name], before, "counts do not go back")
	}
	w.plug()
}

// The watcher of an interface that went away may be stopped while it ends by itself, with the service.
func TestInterfaceGoesAwayWhileTheServiceStops(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	for range 10 {
		w := newWire(t)
		r := begin(t, b, config(t, w.name))
		r.eventually(func() bool { return r.Health().Counters["mode_native:"+w.name] == 1 })
		w.unplug()
		for !r.reason(w.name, "is not there") {
			runtime.Gosched()
		}
		r.stop()
	}
}

func TestAutoFollowsTheDefaultRoute(t *testing.T) {
	t.Parallel()
	one, two := newWire(t), newWire(t)
	r := begin(t, bustest.New(t), config(t, ebpfengine.InterfaceAuto))
	require.True(t, r.reason("no default route"), "%v", r.Health().Reasons)

	remove := one.route("10.70.0.1/24", "10.70.0.2")
	r.eventually(func() bool { return r.Health().Counters["mode_native:"+one.name] == 1 })
	require.Equal(t, event.Healthy, r.Health().Status, "%v", r.Health().Reasons)
	remove()
	two.route("10.71.0.1/24", "10.71.0.2")
	r.eventually(func() bool { return r.Health().Counters["mode_native:"+two.name] == 1 })
	require.EqualValues(t, 1, r.Health().Counters["mode_native:"+one.name], "a watched interface stays watched")
	one.unplug()
	r.eventually(func() bool { return r.Health().Counters["mode_native:"+one.name] == 0 })
	require.Equal(t, event.Healthy, r.Health().Status, "%v", r.Health().Reasons)
}

// The default route may be away when the engine restarts: addresses stay blocked on the interface that had it. The test is not
// parallel: it has the routes to itself.
func TestAutoKeepsItsInterfaceThroughARestart(t *testing.T) { //nolint:paralleltest // default routes
	one, two := newWire(t), newWire(t)
	cfg, b := config(t, ebpfengine.InterfaceAuto), bustest.New(t)
	remove := one.route("10.70.0.1/24", "10.70.0.2")
	r := begin(t, b, cfg)
	r.block("203.0.0.0/24")
	r.blocked(one)
	r.stop()

	remove()
	r = begin(t, b, cfg)
	require.Equal(t, event.Healthy, r.Health().Status, "%v", r.Health().Reasons)
	r.blocked(one)
	r.stop()
	defer two.route("10.71.0.1/24", "10.71.0.2")()
	r = begin(t, b, cfg)
	r.blocked(one)
	r.blocked(two)
	r.stop()

	cfg.Interface = two.name
	begin(t, b, cfg).stop()
	require.Eventually(t, func() bool { return !one.watched() }, patience, time.Millisecond, "another interface is configured by name")
	require.True(t, two.watched())
}

// A pin that cannot be read may be of a configured interface: nothing is detached until all can be read.
func TestNothingIsDetachedWhileAPinCannotBeRead(t *testing.T) {
	t.Parallel()
	before, after := newWire(t), newWire(t)
	cfg, b := config(t, before.name), bustest.New(t)
	begin(t, b, cfg).stop()
	pinned, err := filepath.Glob(cfg.PinPath + "/net-*/xdp_*")
	require.NoError(t, err)
	require.Len(t, pinned, 1)
	unreadable := filepath.Join(filepath.Dir(pinned[0]), "xdp_999999")
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	require.NoError(t, err)
	require.NoError(t, m.Pin(unreadable))
	require.NoError(t, m.Close())

	cfg.Interface = after.name
	r := begin(t, b, cfg)
	require.True(t, before.watched())
	require.True(t, r.reason("pinned link "+unreadable, "may stay attached"), "%v", r.Health().Reasons)
	require.NoError(t, os.Remove(unreadable))
	r.eventually(func() bool { return !before.watched() })
	r.eventually(func() bool { return r.Health().Status == event.Healthy })
	require.True(t, after.watched())
}

func TestUnconfiguredInterfaceIsDetachedWhileTheConfiguredOneIsMissing(t *testing.T) {
	t.Parallel()
	w, away := newWire(t), newWire(t)
	cfg, b := config(t, w.name+","+away.name), bustest.New(t)
	r := begin(t, b, cfg)
	r.block("203.0.0.0/24")
	r.blocked(away)
	r.stop()

	away.unplug()
	cfg.Interface = away.name
	r = begin(t, b, cfg)
	require.Eventually(t, func() bool { return !w.watched() }, patience, time.Millisecond, "it is not configured")
	pinned, err := filepath.Glob(cfg.PinPath + "/net-*/xdp_*")
	require.NoError(t, err)
	require.Empty(t, pinned, "links to interfaces that are gone")
	away.plug()
	r.blocked(away)
	pinned, err = filepath.Glob(cfg.PinPath + "/net-*/xdp_*")
	require.NoError(t, err)
	require.Len(t, pinned, 1)
}
