package blocklist_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// kernel opens the kernel's lists and loads the packet program on them. In replay, its clock is the time given to Run.
func kernel(t testing.TB, size int, replay bool) (*bpf.Filter, *bpf.Engine) {
	t.Helper()
	if os.Geteuid() != 0 {
		testenv.Require(t, "bpf", os.ErrPermission)
	}
	f, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: size, Replay: replay})
	testenv.Require(t, "bpf", err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	e, err := bpf.Load(bpf.Options{Interface: "test0", Filter: f, Replay: replay})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return f, e
}

// syn is a TCP SYN from addr, from the Ethernet header on.
func syn(addr netip.Addr) []byte {
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, 4711)
	binary.BigEndian.PutUint16(tcp[2:], 22)
	tcp[12], tcp[13] = 5<<4, 0x02
	frame := make([]byte, 12, 74)
	if addr.Is4() {
		frame = append(frame, 0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0)
		frame = append(append(frame, addr.AsSlice()...), 192, 0, 2, 1)
		return append(frame, tcp...)
	}
	frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64)
	target := netip.MustParseAddr("2001:db8:f::1").AsSlice()
	return append(append(append(frame, addr.AsSlice()...), target...), tcp...)
}

func drops(t testing.TB, e *bpf.Engine, addr netip.Addr, at time.Time) bool {
	t.Helper()
	v, err := e.Run(syn(addr), at)
	require.NoError(t, err)
	return v == bpf.Drop
}

// The property of TestNoBlocklistDropsAProtectedAddress with the program in the kernel instead of the model.
func TestNoBlocklistDropsAProtectedAddressInTheKernel(t *testing.T) {
	t.Parallel()
	f, e := kernel(t, 1000, true)
	p := blocklist.NewPlan(1000)
	now, dropped := began.Add(time.Minute), 0
	p.Replace(nil)
	p.SetFeeds(true)
	for i := range uint64(kernelLists) {
		g := newGenerator(i)
		protected := g.protected()
		blocks, files := g.list(protected)
		require.NoError(t, f.Allow(prefixesOf(protected)))
		p.Replace(blocks)
		p.SetFeeds(true, files[0], files[1])
		_, err := p.Write(f, 4096)
		require.NoError(t, err)
		for _, l := range protected {
			if drops(t, e, l.Prefix.Addr(), now) || drops(t, e, last(l.Prefix), now) {
				require.Failf(t, "protected address dropped", "list %d: %v", i, l)
			}
		}
		for range 4 {
			addr := g.addr()
			want := isBlocked(addr, blocks, files) && !isAllowed(addr, protected)
			if got := drops(t, e, addr, now); got != want {
				require.Failf(t, "verdict differs from the model", "list %d: %v is dropped: %v", i, addr, got)
			}
			if want {
				dropped++
			}
		}
	}
	t.Logf("%d lists: %d of %d other addresses dropped", kernelLists, dropped, 4*kernelLists)
	require.Greater(t, dropped, kernelLists)
}

// An entry of the bucket is dropped soon after it is put and passes after it expired, by the kernel's own clock.
func TestBucketEntryIsDroppedAndExpiresInTheKernel(t *testing.T) {
	t.Parallel()
	f, e := kernel(t, 1000, false)
	b := bustest.New(t)
	r := begin(t, b, f, blocklist.Config{MaxEntries: 1000})
	addr, other := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	r.put("203.0.113.9/32", time.Hour)
	r.holds("203.0.113.9/32")

	require.False(t, drops(t, e, addr, time.Time{}))
	began := time.Now()
	r.put("203.0.113.7/32", 2*time.Second)
	require.True(t, eventually(func() bool { return drops(t, e, addr, time.Time{}) }))
	t.Logf("first drop after %v", time.Since(began))
	require.False(t, drops(t, e, other, time.Time{}))
	require.True(t, eventually(func() bool { return !drops(t, e, addr, time.Time{}) }))
	require.InDelta(t, 2*time.Second, time.Since(began), float64(time.Second))

	response, err := r.List(blocklist.ListRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, response.Protected)
	r.put("0.0.0.0/0", time.Hour)
	r.put("::/0", time.Hour)
	require.True(t, eventually(func() bool { return drops(t, e, other, time.Time{}) }))
	for _, l := range r.ProtectedAddresses() {
		require.False(t, drops(t, e, l.Prefix.Addr(), time.Time{}), "%v", l)
	}
}
