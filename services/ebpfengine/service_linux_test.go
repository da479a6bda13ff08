package ebpfengine_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

const patience = 2 * time.Minute

var counter atomic.Int32 //nolint:gochecknoglobals // names are unique in the namespace

// wire is a pair of interfaces: frames sent into peer arrive at name.
type wire struct {
	t          *testing.T
	name, peer string
	fd         int // a packet socket on peer
}

func newWire(t *testing.T) *wire {
	t.Helper()
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	n := counter.Add(1)
	w := &wire{t: t, name: fmt.Sprintf("ev%d", n), peer: fmt.Sprintf("ep%d", n)}
	w.plug()
	t.Cleanup(func() {
		if _, err := netlink.LinkByName(w.name); err == nil {
			w.unplug()
		}
	})
	return w
}

// plug makes the pair.
func (w *wire) plug() {
	w.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.name
	require.NoError(w.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: w.peer}))
	for _, name := range []string{w.name, w.peer} {
		l, err := netlink.LinkByName(name)
		require.NoError(w.t, err)
		require.NoError(w.t, netlink.LinkSetUp(l))
	}
	peer, err := netlink.LinkByName(w.peer)
	require.NoError(w.t, err)
	w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	require.NoError(w.t, err)
	require.NoError(w.t, unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: 0, Ifindex: peer.Attrs().Index}))
}

func (w *wire) unplug() {
	w.t.Helper()
	require.NoError(w.t, unix.Close(w.fd))
	l, err := netlink.LinkByName(w.name)
	require.NoError(w.t, err)
	require.NoError(w.t, netlink.LinkDel(l))
}

// syn sends a SYN from an address to a port of 198.51.100.4.
func (w *wire) syn(from netip.Addr, port int) {
	w.t.Helper()
	_, err := unix.Write(w.fd, w.synFrame(from, netip.AddrFrom4([4]byte{198, 51, 100, 4}), port))
	require.NoError(w.t, err)
}

// synOut sends a SYN from 198.51.100.4 to a port of an address, out of the interface.
func (w *wire) synOut(to netip.Addr, port int) {
	w.t.Helper()
	l, err := netlink.LinkByName(w.name)
	require.NoError(w.t, err)
	out := unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}
	require.NoError(w.t, unix.Sendto(w.fd, w.synFrame(netip.AddrFrom4([4]byte{198, 51, 100, 4}), to, port), 0, &out))
}

func (w *wire) synFrame(from, to netip.Addr, port int) []byte {
	w.t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	tcp := &layers.TCP{SrcPort: 50022, DstPort: layers.TCPPort(port), SYN: true, Window: 1024}
	require.NoError(w.t, tcp.SetNetworkLayerForChecksum(ip))
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	buf := gopacket.NewSerializeBuffer()
	require.NoError(w.t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp))
	return buf.Bytes()
}

// rig is the service at work on a bus.
type rig struct {
	*ebpfengine.Service
	t    *testing.T
	bus  *bustest.Bus
	stop func()

	metrics prometheus.Gatherer
}

func config(t *testing.T, interfaces string) ebpfengine.Config {
	t.Helper()
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	c := ebpfengine.DefaultConfig()
	c.Interface = interfaces
	c.PinPath = t.TempDir() + "/pins"
	t.Cleanup(func() { _ = unix.Unmount(c.PinPath, unix.MNT_DETACH) })
	filter, err := bpf.OpenFilter(bpf.FilterOptions{})
	testenv.Require(t, "bpf", err)
	require.NoError(t, filter.Close())
	return c
}

func begin(t *testing.T, b *bustest.Bus, cfg ebpfengine.Config) *rig {
	t.Helper()
	require.Empty(t, cfg.Validate())
	log := logrus.New()
	log.SetOutput(t.Output())
	metrics := prometheus.NewRegistry()
	s, err := ebpfengine.New(cfg, ebpfengine.Deps{Bus: b.Conn(bus.EBPFEngine), Host: b.Host(), Log: log, Metrics: metrics})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	g := task.New(ctx)
	g.Go("engine", s.Run)
	stopped := false
	r := &rig{Service: s, t: t, bus: b, metrics: metrics}
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, g.Wait())
		}
	}
	t.Cleanup(r.stop)
	<-s.Started()
	return r
}

func (r *rig) eventually(ok func() bool) {
	r.t.Helper()
	require.Eventually(r.t, ok, patience, 10*time.Millisecond, "%+v", r.Health())
}

// reason reports whether one reason contains all parts.
func (r *rig) reason(parts ...string) bool {
	return slices.ContainsFunc(r.Health().Reasons, func(reason string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(reason, p) })
	})
}

// records returns the stored records of a kind.
func (r *rig) records(kind event.PacketKind) []*event.Packet {
	r.t.Helper()
	var out []*event.Packet
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(r.t, r.bus.Conn(bus.Operator).History(ctx, bus.Packets, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		p := &event.Packet{}
		require.NoError(r.t, event.Decode(d.Data, p))
		if p.Kind == kind {
			out = append(out, p)
		}
		return true
	}))
	return out
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}) }

func (r *rig) block(prefix string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := r.bus.Conn(bus.Daemon).Blocklist(ctx)
	require.NoError(r.t, err)
	now := time.Now()
	require.NoError(r.t, list.Put(ctx, bus.Block{
		Prefix: netip.MustParsePrefix(prefix), Created: now, Expires: now.Add(time.Hour), Reason: "a test", Source: "operator",
	}))
}

func TestHealthIsStartingUntilTheInterfacesWereTried(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	s, err := ebpfengine.New(ebpfengine.DefaultConfig(), ebpfengine.Deps{Bus: b.Conn(bus.EBPFEngine), Host: b.Host(), Log: logrus.New()})
	require.NoError(t, err)
	require.Equal(t, event.Degraded, s.Health().Status)
	require.Equal(t, []string{health.Starting}, s.Health().Reasons)
}

func TestScanIsPublished(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	r := begin(t, bustest.New(t), config(t, w.name))
	require.Equal(t, event.Healthy, r.Health().Status, "%v", r.Health().Reasons)
	require.EqualValues(t, 1, r.Health().Counters["mode_native:"+w.name])
	require.EqualValues(t, 1, r.Health().Counters["egress:"+w.name])
	for port := range 100 {
		w.syn(address(1), 1000+port)
	}
	var found []*event.Packet
	r.eventually(func() bool { found = r.records(event.Detection); return len(found) > 0 })
	d := found[0].Detection
	require.Equal(t, "port_scan", d.Name)
	require.Equal(t, address(1).String(), d.Actor)
	require.Equal(t, "198.51.100.4", d.Target.IP)
	require.Equal(t, w.name, found[0].Interface)
	require.EqualValues(t, 1, r.Health().Counters["announced_port_scan"])

	r.eventually(func() bool { return len(r.records(event.Flows)) > 0 })
	var syns, sampled uint64
	for _, p := range r.records(event.Window) {
		syns += p.Window.Classes["tcp_syn"]
	}
	for _, p := range r.records(event.Flows) {
		require.GreaterOrEqual(t, len(p.Flows), 32)
		sampled += uint64(len(p.Flows))
	}
	require.EqualValues(t, 100, syns)
	require.NotZero(t, sampled)
	r.eventually(func() bool {
		return r.Health().Counters["program_ns:"+w.name] > 0 || r.Health().Counters["packets"] > 100
	})
}

func TestBlockedTrafficIsDroppedAndPublished(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	r := begin(t, bustest.New(t), config(t, w.name))
	r.block("203.0.0.0/24")
	r.eventually(func() bool {
		w.syn(address(7), 80)
		return r.Health().Counters["blocked"] > 0
	})
	w.syn(address(300), 80) // another network
	var list []*event.Packet
	r.eventually(func() bool { list = r.records(event.Blocked); return len(list) > 0 })
	require.Equal(t, "203.0.0.0/24", list[0].Blocked[0].Prefix)
	require.Equal(t, "a test", list[0].Blocked[0].Reason)
	require.NotZero(t, list[0].Blocked[0].Packets)
}

// Dropped packets are counted by the owner of the entry, in the status and in the metrics.
func TestDropsAreCountedByOwner(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg := config(t, w.name)
	cfg.BlocklistFiles = []string{t.TempDir() + "/feed"}
	require.NoError(t, os.WriteFile(cfg.BlocklistFiles[0], []byte(address(300).String()+"\n"), 0o600))
	r := begin(t, bustest.New(t), cfg)
	r.block("203.0.0.0/24")
	want := map[string]float64{"bus": 5, "files": 3, "unknown": 0}
	r.eventually(func() bool {
		n := r.Health().Counters
		return n["blocklist_bus_entries"] == 1 && n["blocklist_feed_entries"] == 1 && n["blocklist_written"] >= 2
	})
	for range 5 {
		w.syn(address(7), 80)
	}
	for range 3 {
		w.syn(address(300), 80)
	}
	r.eventually(func() bool { return r.Health().Counters["blocked"] == 8 })
	require.EqualValues(t, 5, r.Health().Counters["blocked_bus"])
	require.EqualValues(t, 3, r.Health().Counters["blocked_files"])
	require.Equal(t, want, r.metric("ironpost_ebpf_engine_dropped_packets_total", "reason"))
	for reason := range want {
		require.Contains(t, r.help("ironpost_ebpf_engine_dropped_packets_total"), reason)
	}
}

// help returns the help of a metric.
func (r *rig) help(name string) string {
	r.t.Helper()
	families, err := r.metrics.Gather()
	require.NoError(r.t, err)
	at := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	require.GreaterOrEqual(r.t, at, 0)
	return families[at].GetHelp()
}

// metric returns the values of a counter by one of its labels.
func (r *rig) metric(name, label string) map[string]float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	require.NoError(r.t, err)
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label {
					out[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return out
}

func TestBlocksOutliveTheProcessAndAreAdopted(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg, b := config(t, w.name), bustest.New(t)
	r := begin(t, b, cfg)
	r.block("203.0.0.0/24")
	r.eventually(func() bool {
		w.syn(address(7), 80)
		return r.Health().Counters["blocked"] > 0
	})
	r.stop()
	found, _, err := attach.Find([]string{w.name})
	require.NoError(t, err)
	require.NotZero(t, found[0].ProgramID, "it stays attached")
	attached := ebpfengine.StillAttached(cfg)
	require.Len(t, attached, 1)
	require.Contains(t, attached[0], w.name)
	require.Contains(t, attached[0], "rm -r "+cfg.PinPath)

	restarted := time.Now()
	cfg.BlocklistMaxEntries *= 3 // the map is made anew with its entries
	next := begin(t, b, cfg)
	for range 100 {
		w.syn(address(8), 80)
	}
	next.eventually(func() bool { return next.Health().Counters["blocked"] == 100 })
	next.stop()
	for _, p := range next.records(event.Window) {
		if p.Time.After(restarted) {
			require.Zero(t, p.Window.Classes["tcp_syn"], "no packet passes")
		}
	}

	other := newWire(t)
	cfg.Interface = other.name
	begin(t, b, cfg).stop()
	require.Eventually(t, func() bool {
		found, _, err = attach.Find([]string{w.name})
		return err == nil && found[0].ProgramID == 0
	}, patience, time.Millisecond, "an interface that is no longer configured is detached")
}

func TestForeignProgramIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	theirs, err := attach.OpenPins(config(t, w.name).PinPath)
	require.NoError(t, err)
	cfg := config(t, w.name)
	filter, err := bpf.OpenFilter(bpf.FilterOptions{})
	require.NoError(t, err)
	engine, err := bpf.Load(bpf.Options{Interface: w.name, Filter: filter})
	require.NoError(t, err)
	found, _, err := attach.Find([]string{w.name})
	require.NoError(t, err)
	link, err := theirs.XDP(found[0], attach.SKB, engine.XDP())
	require.NoError(t, err)

	r := begin(t, bustest.New(t), cfg)
	require.Equal(t, event.Degraded, r.Health().Status)
	found, _, err = attach.Find([]string{w.name})
	require.NoError(t, err)
	require.True(t, r.reason("another XDP program", fmt.Sprint("id ", found[0].ProgramID)), "%v", r.Health().Reasons)
	require.True(t, link.Attached())

	require.NoError(t, link.Detach())
	require.NoError(t, engine.Close())
	require.NoError(t, filter.Close())
	r.eventually(func() bool { return r.Health().Status == event.Healthy })
}

func TestFallbackToSKBIsARemark(t *testing.T) {
	t.Parallel()
	r := begin(t, bustest.New(t), config(t, "lo"))
	require.Equal(t, event.Healthy, r.Health().Status, "%v", r.Health().Reasons)
	require.True(t, r.reason("lo is watched in mode skb"))
	require.EqualValues(t, 1, r.Health().Counters["mode_skb:lo"])
	require.Zero(t, r.Health().Counters["mode_native:lo"])
}

func TestWithoutPinsItIsDegradedAndWatches(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	cfg := config(t, w.name)
	cfg.PinPath = "/proc/ironpost"
	r := begin(t, bustest.New(t), cfg)
	require.Equal(t, event.Degraded, r.Health().Status)
	require.True(t, r.reason("/proc/ironpost", "blocks end"), "%v", r.Health().Reasons)
	w.syn(address(1), 80)
	r.eventually(func() bool { return r.Health().Counters["packets"] > 0 })
	r.stop()
	require.Eventually(t, func() bool {
		found, _, err := attach.Find([]string{w.name})
		return err == nil && found[0].ProgramID == 0
	}, patience, time.Millisecond)
}

func TestMissingStreamMergesWindows(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	b := bustest.New(t)
	r := begin(t, b, config(t, w.name))
	r.eventually(func() bool { return r.Health().Counters["published"] > 0 })
	_, err := b.Raw(bus.Daemon).Request("$JS.API.STREAM.DELETE."+string(bus.Packets), nil, patience)
	require.NoError(t, err)
	for port := range 100 {
		w.syn(address(1), 1000+port)
	}
	r.eventually(func() bool { return r.Health().Counters["windows_merged"] > 0 })
	r.eventually(func() bool { return r.Health().Counters["announced_port_scan"] > 0 })
	b.Provision()
	r.eventually(func() bool { return len(r.records(event.Detection)) > 0 })
	var syns uint64
	r.eventually(func() bool {
		syns = 0
		for _, p := range r.records(event.Window) {
			syns += p.Window.Classes["tcp_syn"]
		}
		return syns == 100
	})
}
