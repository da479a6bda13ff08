package attach_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

var counter atomic.Int32 //nolint:gochecknoglobals // names are unique in the namespace

// veth makes a pair of interfaces, up, and returns the first.
func veth(t *testing.T) string {
	t.Helper()
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	n := counter.Add(1)
	name, peer := fmt.Sprintf("iv%d", n), fmt.Sprintf("ip%d.7", n)
	makeVeth(t, name, peer)
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(name); err == nil {
			require.NoError(t, netlink.LinkDel(l))
		}
	})
	return name
}

func makeVeth(t *testing.T, name, peer string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}))
	for _, n := range []string{name, peer} {
		up(t, n)
	}
}

func up(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(l))
}

func find(t *testing.T, name string) attach.Interface {
	t.Helper()
	found, missing, err := attach.Find([]string{name})
	require.NoError(t, err)
	require.Empty(t, missing)
	require.Len(t, found, 1)
	return found[0]
}

// program returns a program that passes everything.
func program(t *testing.T, kind ebpf.ProgramType) *ebpf.Program {
	t.Helper()
	testenv.Require(t, "bpf", rlimit.RemoveMemlock())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "just_passes", Type: kind, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	testenv.Require(t, "bpf", err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func idOf(t *testing.T, p *ebpf.Program) uint32 {
	t.Helper()
	info, err := p.Info()
	require.NoError(t, err)
	id, ok := info.ID()
	require.True(t, ok)
	return uint32(id)
}

// pins returns a folder of pins on a bpf file system that is unmounted at the end of the test.
func pins(t *testing.T) attach.Pins {
	t.Helper()
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	dir := t.TempDir() + "/bpf"
	p, err := attach.OpenPins(dir)
	testenv.Require(t, "bpf", err)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return p
}

func TestModeIsNativeWithFallbackToSKB(t *testing.T) {
	p, name := pins(t), veth(t)
	l, err := p.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
	require.NoError(t, err)
	require.Equal(t, attach.Native, l.Interface.Mode)
	require.Empty(t, l.Fallback)
	require.Empty(t, l.Unpinned)
	require.Equal(t, attach.Native, find(t, name).Mode)
	require.NoError(t, l.Detach())
	require.Zero(t, find(t, name).ProgramID)

	l, err = p.XDP(find(t, "lo"), attach.AnyMode, program(t, ebpf.XDP)) // the loopback has no driver
	require.NoError(t, err)
	require.Equal(t, attach.SKB, l.Interface.Mode)
	require.Contains(t, l.Fallback, "XDP mode native")
	require.NoError(t, l.Detach())

	_, err = p.XDP(find(t, "lo"), attach.Native, program(t, ebpf.XDP))
	require.ErrorContains(t, err, "lo: XDP mode native")
	_, err = p.XDP(find(t, name), attach.HW, program(t, ebpf.XDP))
	require.Error(t, err)
}

func TestPinnedLinkOutlivesItsProcessAndIsTakenOver(t *testing.T) {
	p, name := pins(t), veth(t)
	first, second := program(t, ebpf.XDP), program(t, ebpf.XDP)
	l, err := p.XDP(find(t, name), attach.SKB, first)
	require.NoError(t, err)
	require.False(t, l.Adopted)
	require.NoError(t, l.Close())
	require.Equal(t, idOf(t, first), find(t, name).ProgramID, "still there")

	l, err = p.XDP(find(t, name), attach.AnyMode, second)
	require.NoError(t, err)
	require.True(t, l.Adopted)
	require.Equal(t, attach.SKB, l.Interface.Mode, "changing the mode would let packets through")
	require.Equal(t, idOf(t, second), find(t, name).ProgramID)
	require.NoError(t, l.Close())

	l, err = p.XDP(find(t, name), attach.Native, first)
	require.NoError(t, err)
	require.False(t, l.Adopted, "another mode is configured")
	require.Equal(t, attach.Native, find(t, name).Mode)
	require.NoError(t, l.Detach())
}

func TestWithoutAFolderNothingIsPinned(t *testing.T) {
	name := veth(t)
	l, err := attach.Pins{}.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
	require.NoError(t, err)
	require.NotEmpty(t, l.Unpinned)
	require.NoError(t, l.Close())
	require.Eventually(t, func() bool { return find(t, name).ProgramID == 0 }, 5*time.Second, time.Millisecond)

	_, err = attach.OpenPins("/proc/ironpost")
	require.ErrorContains(t, err, "/proc/ironpost")
}

func TestFolderThatOthersMayWriteIsRefused(t *testing.T) {
	inner := pins(t).Dir()
	outer := filepath.Dir(inner)
	open := func() error {
		_, err := attach.OpenPins(outer)
		return err
	}
	require.NoError(t, os.Chmod(outer, 0o777|os.ModeSticky)) // as `mount -t bpf` makes it
	require.NoError(t, open())
	require.NoError(t, os.Chmod(outer, 0o777))
	require.ErrorContains(t, open(), "other users")
	require.NoError(t, os.Chmod(outer, 0o700))
	require.NoError(t, os.Chown(inner, 4711, 0))
	require.ErrorContains(t, open(), "owner 4711")
	require.NoError(t, os.Remove(inner))
	require.NoError(t, os.Symlink("/sys/fs/bpf", inner))
	require.ErrorContains(t, open(), "other users")
}

func TestNoRequirementIsMissingWhereProgramsLoad(t *testing.T) {
	program(t, ebpf.XDP)
	require.Empty(t, attach.MissingRequirements())
}

func TestForeignProgramIsNamed(t *testing.T) {
	own, foreign, name := pins(t), pins(t), veth(t)
	l, err := foreign.XDP(find(t, name), attach.SKB, program(t, ebpf.XDP))
	require.NoError(t, err)
	for _, want := range []attach.Mode{attach.AnyMode, attach.SKB, attach.Native} {
		_, err = own.XDP(find(t, name), want, program(t, ebpf.XDP))
		require.ErrorIs(t, err, attach.ErrForeign)
		require.ErrorContains(t, err, `"just_passes"`)
		require.ErrorContains(t, err, fmt.Sprintf("id %d", find(t, name).ProgramID))
	}
	require.True(t, l.Attached(), "it stays attached")
	require.NoError(t, l.Detach())
	l, err = own.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
	require.NoError(t, err)
	require.NoError(t, l.Detach())
}

func TestInterfaceMadeAgainIsNotAdopted(t *testing.T) {
	p, name := pins(t), veth(t)
	l, err := p.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
	require.NoError(t, err)
	require.True(t, l.Attached())

	link, err := netlink.LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetDown(link))
	require.NoError(t, netlink.LinkSetUp(link))
	require.True(t, l.Attached(), "a flap does not detach")

	require.NoError(t, netlink.LinkDel(link))
	require.False(t, l.Attached())
	// the same index with a dead link pinned for it
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = name, link.Attrs().Index
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
	require.NoError(t, l.Close())
	l, err = p.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
	require.NoError(t, err)
	require.False(t, l.Adopted)
	require.True(t, l.Attached())
	require.NoError(t, l.Detach())
}

func TestRemoveExceptDetachesOthers(t *testing.T) {
	p, kept, dropped := pins(t), veth(t), veth(t)
	for _, name := range []string{kept, dropped} {
		l, err := p.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	require.ElementsMatch(t, []string{kept, dropped}, attach.PinnedInterfaces(filepath.Dir(p.Dir())), "also without the process")
	gone, err := p.RemoveExcept([]attach.Interface{find(t, kept)})
	require.NoError(t, err)
	require.Equal(t, 1, gone)
	require.NotZero(t, find(t, kept).ProgramID)
	require.Equal(t, []string{kept}, attach.PinnedInterfaces(filepath.Dir(p.Dir())))
	require.Eventually(t, func() bool { return find(t, dropped).ProgramID == 0 }, 5*time.Second, time.Millisecond) // the kernel frees links later
}

func TestPinnedInterfacesReportsUnreadablePins(t *testing.T) {
	p, name := pins(t), veth(t)
	l, err := p.XDP(find(t, name), attach.AnyMode, program(t, ebpf.XDP))
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Detach()) }()
	unreadable := filepath.Join(p.Dir(), "xdp_999999")
	require.NoError(t, program(t, ebpf.XDP).Pin(unreadable))
	pinned, err := p.PinnedInterfaces(nil)
	require.ErrorContains(t, err, unreadable)
	require.Equal(t, []attach.Interface{find(t, name)}, pinned)
	pinned, err = p.PinnedInterfaces([]attach.Interface{find(t, name), {Index: 999_999}})
	require.NoError(t, err, "known interfaces are not read")
	require.Empty(t, pinned)
}

func TestInterfaceWithoutEthernetIsRefused(t *testing.T) {
	p := pins(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "itun0"
	tun := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}
	testenv.Require(t, "tun", netlink.LinkAdd(tun))
	t.Cleanup(func() { require.NoError(t, netlink.LinkDel(tun)) })
	_, err := p.XDP(find(t, "itun0"), attach.AnyMode, program(t, ebpf.XDP))
	require.ErrorIs(t, err, attach.ErrUnsupported)
}

func TestEgressProgramsCoexist(t *testing.T) {
	name := veth(t)
	first, err := attach.Egress(find(t, name), program(t, ebpf.SchedCLS))
	testenv.Require(t, "tcx", err)
	second, err := attach.Egress(find(t, name), program(t, ebpf.SchedCLS))
	require.NoError(t, err)
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
}

func TestAutoFindsTheInterfacesOfDefaultRoutes(t *testing.T) {
	four, six, worse := veth(t), veth(t), veth(t)
	found, missing, err := attach.Find([]string{attach.Auto})
	require.NoError(t, err)
	require.Empty(t, found, "no route, no interface")
	require.Empty(t, missing)

	route(t, four, "10.70.0.1/24", "10.70.0.2", 10)
	route(t, worse, "10.71.0.1/24", "10.71.0.2", 20)
	route(t, six, "fd70::1/64", "fd70::2", 10)
	found, _, err = attach.Find([]string{attach.Auto})
	require.NoError(t, err)
	var names []string
	for _, i := range found {
		names = append(names, i.Name)
	}
	require.ElementsMatch(t, []string{four, six}, names)

	for addr, outside := range map[string]bool{"192.0.2.1": true, "2001:db8::1": true, "10.70.0.9": true, "10.71.0.9": false, "10.70.0.1": false} {
		require.Equal(t, outside, attach.IsOutside(netip.MustParseAddr(addr), find(t, worse)), "%s, forwarded to the inside", addr)
		require.False(t, attach.IsOutside(netip.MustParseAddr(addr), find(t, four)), "%s, sent to the outside", addr)
	}

	_, missing, err = attach.Find([]string{four, "nosuch0"})
	require.NoError(t, err)
	require.Equal(t, []string{"nosuch0"}, missing)
}

// route gives the interface an address and a default route.
func route(t *testing.T, name, address, gateway string, metric int) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	addr, err := netlink.ParseAddr(address)
	require.NoError(t, err)
	addr.Flags = unix.IFA_F_NODAD
	require.NoError(t, netlink.AddrAdd(l, addr))
	require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(gateway), Priority: metric}))
}

func TestWatchReportsChanges(t *testing.T) {
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 1)
	g := task.New(ctx)
	g.Go("watch", func(ctx context.Context) error { return attach.Watch(ctx, changed) })
	require.Eventually(t, func() bool { // until the watch has begun
		l, err := netlink.LinkByName("lo")
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetDown(l))
		require.NoError(t, netlink.LinkSetUp(l))
		return len(changed) == 1
	}, 5*time.Second, time.Millisecond)
	<-changed
	veth(t)
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Fatal("a new interface was not reported")
	}
	cancel()
	require.NoError(t, g.Wait())
}
