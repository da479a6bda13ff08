package bpf_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/task"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func block(t testing.TB, f *bpf.Filter, list ...string) {
	t.Helper()
	var entries []bpf.Entry
	for _, p := range prefixes(list...) {
		entries = append(entries, bpf.Entry{Prefix: p})
	}
	require.NoError(t, f.Block(entries))
}

// from returns a SYN from addr.
func from(addr netip.Addr) []byte {
	if addr.Is4() {
		f := synFrame()
		copy(f[26:], addr.AsSlice())
		return f
	}
	f := synFrame6()
	copy(f[22:], addr.AsSlice())
	return f
}

func verdict(t testing.TB, e *bpf.Engine, addr string, at time.Time) bpf.Verdict {
	t.Helper()
	v, err := e.Run(from(netip.MustParseAddr(addr)), at)
	require.NoError(t, err)
	return v
}

func TestBlockedSourcesAreDropped(t *testing.T) {
	t.Parallel()
	e, f := replay(t)
	block(t, f, "192.0.2.7/32", "198.51.100.0/24", "2001:db8:1::/48", "2001:db8::9/128", "::ffff:203.0.113.0/120")
	for addr, want := range map[string]bpf.Verdict{
		"192.0.2.7": bpf.Drop, "192.0.2.8": bpf.Pass, "198.51.100.0": bpf.Drop, "198.51.100.255": bpf.Drop, "198.51.101.0": bpf.Pass,
		"2001:db8:1:2::3": bpf.Drop, "2001:db8:2::3": bpf.Pass, "2001:db8::9": bpf.Drop, "2001:db8::a": bpf.Pass, "203.0.113.9": bpf.Drop,
	} {
		require.Equal(t, want, verdict(t, e, addr, start), addr)
	}
	w, err := e.Collect(start)
	require.NoError(t, err)
	require.EqualValues(t, 6, w.Totals.Dropped.Packets)
	require.Len(t, w.Targets, 2, "dropped packets are not counted for the target: %v", w.Targets)
	require.NoError(t, f.Unblock(prefixes("198.51.100.0/24", "2001:db8::9/128", "10.9.9.0/24")))
	require.Equal(t, bpf.Pass, verdict(t, e, "198.51.100.255", start))
	require.Equal(t, bpf.Pass, verdict(t, e, "2001:db8::9", start))
	require.Equal(t, bpf.Drop, verdict(t, e, "192.0.2.7", start))
}

// Linux accepts some packets that the program does not parse, such as those with nine extension headers: they are dropped if their
// source was read and is blocked.
func TestMalformedPacketsOfBlockedSourcesAreDropped(t *testing.T) {
	t.Parallel()
	e, f := replay(t)
	block(t, f, "10.0.0.1/32", "2001:db8::1/128")
	unread := []traffic.Reason{traffic.ShortEthernet, traffic.ShortIP, traffic.BadIP}
	for reason, frame := range malformed() {
		want := bpf.Drop
		if slices.Contains(unread, reason) {
			want = bpf.Pass
		}
		got, err := e.Run(frame, start)
		require.NoError(t, err)
		require.Equal(t, want, got, reason.String())
	}
	w, err := e.Collect(start)
	require.NoError(t, err)
	require.EqualValues(t, len(malformed()), w.Totals.Packets, "each is counted once")
	require.EqualValues(t, len(malformed())-len(unread), w.Totals.Dropped.Packets)
	require.NoError(t, f.Allow(prefixes("10.0.0.1/32", "2001:db8::1/128")))
	for reason, frame := range malformed() {
		got, err := e.Run(frame, start)
		require.NoError(t, err)
		require.Equal(t, bpf.Pass, got, reason.String())
	}
}

// Feeds list 0.0.0.0/8: a packet whose source was not read is not from there, nor from ::.
func TestUnreadSourcesMatchNoEntry(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]func(*bpf.Filter) error{
		"blocked": func(f *bpf.Filter) error {
			return f.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("0.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::/8")}})
		},
		"allowed": func(f *bpf.Filter) error { return f.Allow(prefixes("0.0.0.0/8", "::/8")) },
	} {
		f := newFilter(t, 0)
		e := program(t, f, bpf.Options{})
		require.NoError(t, list(f))
		bad := malformed()
		unread := [][]byte{
			bad[traffic.ShortEthernet], bad[traffic.ShortIP], bad[traffic.BadIP], synFrame()[:50], synFrame6()[:50], synFrame6()[:60],
		}
		for i, frame := range unread {
			got, err := e.Run(frame, start)
			require.NoError(t, err)
			require.Equal(t, bpf.Pass, got, "%s: frame %d", name, i)
		}
		w, err := e.Collect(time.Now())
		require.NoError(t, err)
		require.Equal(t, [traffic.NumReasons]uint64{traffic.ShortEthernet: 1, traffic.ShortIP: 2, traffic.BadIP: 1, traffic.CutIP: 2}, w.Totals.Malformed, name)
		require.Zero(t, w.Totals.Dropped.Packets+w.Totals.Allowed.Packets, name)
		want := map[string]bpf.Verdict{"blocked": bpf.Drop, "allowed": bpf.Pass}[name]
		require.Equal(t, want, verdict(t, e, "0.0.0.1", start), name)
		require.Equal(t, want, verdict(t, e, "::", start), name)
	}
}

func TestEntriesCountPacketsAndExpire(t *testing.T) {
	t.Parallel()
	e, f := replay(t)
	entry := bpf.Entry{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Expires: start.Add(time.Minute), Reason: 77}
	require.NoError(t, f.Block([]bpf.Entry{entry}))
	for range 3 {
		require.Equal(t, bpf.Drop, verdict(t, e, "192.0.2.7", start))
	}
	require.Equal(t, bpf.Drop, verdict(t, e, "192.0.2.7", start.Add(time.Minute-time.Nanosecond)))
	require.Equal(t, bpf.Pass, verdict(t, e, "192.0.2.7", start.Add(time.Minute)))
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("2001:db8::1/128"), Reason: 2}}))
	require.Equal(t, bpf.Drop, verdict(t, e, "2001:db8::1", start))
	w, err := e.Collect(start)
	require.NoError(t, err)
	require.Equal(t, [4]uint64{1: 4, 2: 1}, w.Totals.DroppedFor)
	require.NoError(t, f.Unblock(prefixes("2001:db8::1/128")))
	entries, err := f.Blocked()
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.True(t, entry.Expires.Equal(entries[0].Expires))
	entries[0].Expires = entry.Expires
	entry.Packets, entry.Bytes = 4, 4*54
	require.Equal(t, entry, entries[0])
}

// Blocking again changes expiry and reason and keeps the counts.
func TestBlockingAgainKeepsTheCounts(t *testing.T) {
	t.Parallel()
	e, f := replay(t)
	block(t, f, "192.0.2.7/32")
	require.Equal(t, bpf.Drop, verdict(t, e, "192.0.2.7", start))
	again := bpf.Entry{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Expires: start.Add(time.Hour), Reason: 2}
	require.NoError(t, f.Block([]bpf.Entry{again, again}))
	entries, err := f.Blocked()
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.EqualValues(t, 1, entries[0].Packets)
	require.EqualValues(t, 2, entries[0].Reason)
	require.NoError(t, f.Unblock(prefixes("192.0.2.7/32")))
	require.Equal(t, bpf.Pass, verdict(t, e, "192.0.2.7", start))
}

func TestMonitoringEntriesLetPacketsPass(t *testing.T) {
	t.Parallel()
	e, f := replay(t)
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Monitor: true}}))
	require.Equal(t, bpf.Pass, verdict(t, e, "192.0.2.7", start))
	w, err := e.Collect(start)
	require.NoError(t, err)
	require.EqualValues(t, 1, w.Totals.Monitored.Packets)
	require.EqualValues(t, 1, sumClasses(w))
}

// The allow list wins over every entry of the blocklist, whichever was written first.
func TestAllowListWinsOverTheBlocklist(t *testing.T) {
	t.Parallel()
	e, f := replay(t)
	allowed := []string{"192.0.2.1/32", "198.51.100.0/28", "2001:db8::1/128", "2001:db8:5::/64"}
	require.NoError(t, f.Allow(prefixes(allowed...)))
	block(t, f, "0.0.0.0/0", "::/0", "192.0.2.0/24", "192.0.2.1/32", "198.51.100.3/32", "2001:db8::1/128", "2001:db8::/32", "2001:db8:5::9/128")
	for _, addr := range []string{"192.0.2.1", "198.51.100.3", "2001:db8::1", "2001:db8:5::9", "2001:db8:5::a"} {
		require.Equal(t, bpf.Pass, verdict(t, e, addr, start), addr)
	}
	for _, addr := range []string{"192.0.2.2", "198.51.100.16", "8.8.8.8", "2001:db8::2", "2001:db8:6::9", "fe80::1"} {
		require.Equal(t, bpf.Drop, verdict(t, e, addr, start), addr)
	}
	w, err := e.Collect(start)
	require.NoError(t, err)
	require.EqualValues(t, 5, w.Totals.Allowed.Packets)
	require.NoError(t, f.Allow(prefixes("192.0.2.1/32", "fe80::/10")))
	require.Equal(t, bpf.Pass, verdict(t, e, "192.0.2.1", start))
	require.Equal(t, bpf.Pass, verdict(t, e, "fe80::1", start))
	require.Equal(t, bpf.Drop, verdict(t, e, "2001:db8::1", start))
	list, err := f.Allowed()
	require.NoError(t, err)
	require.ElementsMatch(t, prefixes("192.0.2.1/32", "fe80::/10"), list)
}

// Random lists, changed in random order, give the same verdicts as a loop over the prefixes.
func TestListsAgreeWithALoop(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	e, f := replay(t)
	blocked, allowed := map[netip.Prefix]time.Time{}, map[netip.Prefix]bool{}
	for round := range 150 {
		change(t, r, f, blocked, allowed)
		requireIndexInKernel(t, f)
		for range 60 {
			addr, at := randomAddr(r), start.Add(time.Duration(r.IntN(20))*time.Second)
			want := expected(addr, at, blocked, allowed)
			got, err := e.Run(from(addr), at)
			require.NoError(t, err)
			require.Equal(t, want, got, "seed %d round %d: %v at %v, blocked %v, allowed %v", seed, round, addr, at, blocked, allowed)
		}
	}
}

// requireIndexInKernel fails where the program would miss an entry, or look for a removed one.
func requireIndexInKernel(t *testing.T, f *bpf.Filter) {
	t.Helper()
	same, err := f.IndexInKernel()
	require.NoError(t, err)
	require.True(t, same, "the tables in the kernel are not those of the index")
}

func change(t *testing.T, r *rand.Rand, f *bpf.Filter, blocked map[netip.Prefix]time.Time, allowed map[netip.Prefix]bool) {
	t.Helper()
	var entries []bpf.Entry
	for range r.IntN(8) {
		e := bpf.Entry{Prefix: randomPrefix(r)}
		if r.IntN(2) == 0 {
			e.Expires = start.Add(time.Duration(r.IntN(20)) * time.Second)
		}
		entries = append(entries, e)
		blocked[e.Prefix] = e.Expires
	}
	require.NoError(t, f.Block(entries))
	var gone []netip.Prefix
	for p := range blocked {
		if r.IntN(3) == 0 {
			gone = append(gone, p)
			delete(blocked, p)
		}
	}
	require.NoError(t, f.Unblock(gone))
	for p := range allowed {
		if r.IntN(2) == 0 {
			delete(allowed, p)
		}
	}
	for range r.IntN(3) {
		allowed[randomPrefix(r)] = true
	}
	var list []netip.Prefix
	for p := range allowed {
		list = append(list, p)
	}
	require.NoError(t, f.Allow(list))
}

func expected(addr netip.Addr, at time.Time, blocked map[netip.Prefix]time.Time, allowed map[netip.Prefix]bool) bpf.Verdict {
	for p := range allowed {
		if p.Contains(addr) {
			return bpf.Pass
		}
	}
	for p, expires := range blocked {
		if p.Contains(addr) && (expires.IsZero() || at.Before(expires)) {
			return bpf.Drop
		}
	}
	return bpf.Pass
}

// randomAddr returns one of a few addresses, so that many are listed.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(r.IntN(2) * 192), byte(r.IntN(2)), byte(r.IntN(2)), byte(r.IntN(4))})
	}
	a := [16]byte{0x20, 1, byte(r.IntN(2)), 3: byte(r.IntN(2)), 7: byte(r.IntN(2)), 9: byte(r.IntN(2)), 15: byte(r.IntN(4))}
	return netip.AddrFrom16(a)
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	a := randomAddr(r)
	bits := a.BitLen()
	if r.IntN(2) == 0 {
		bits = r.IntN(bits + 1)
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func TestFullListReturnsErrFull(t *testing.T) {
	t.Parallel()
	f := newFilter(t, 100)
	var entries []bpf.Entry
	for i := range 150 {
		entries = append(entries, bpf.Entry{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)})
	}
	require.ErrorIs(t, f.Block(entries), bpf.ErrFull)
	have, err := f.Blocked()
	require.NoError(t, err)
	require.Len(t, have, 100, "as many as fit are added")
	require.NoError(t, f.Allow(prefixes("192.0.2.1/32")), "the allow list has room of its own")
	require.Error(t, f.Block([]bpf.Entry{{}}))
	require.Error(t, f.Unblock([]netip.Prefix{{}}))
	require.Error(t, f.Allow([]netip.Prefix{{}}))
}

// processTime returns the CPU time of the process, which other load on the machine does not change.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts))
	return time.Duration(ts.Nano())
}

func TestMillionEntriesAreAddedInSeconds(t *testing.T) {
	f := newFilter(t, 1_000_000)
	entries := make([]bpf.Entry, 1_000_000)
	for i := range entries {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i)*4099)
		entries[i].Prefix = netip.PrefixFrom(netip.AddrFrom4(a), 32)
	}
	began, busy := time.Now(), processTime(t)
	require.NoError(t, f.Block(entries))
	busy = processTime(t) - busy
	t.Logf("a million entries in %v, %v of a CPU", time.Since(began), busy)
	require.Less(t, busy, 30*time.Second)
	requireBlocksWhileListing(t, f)
	e := program(t, f, bpf.Options{})
	v, err := e.Run(from(entries[777_777].Prefix.Addr()), start)
	require.NoError(t, err)
	require.Equal(t, bpf.Drop, v)
}

// requireBlocksWhileListing fails if adding an entry waits while a long list is read.
func requireBlocksWhileListing(t *testing.T, f *bpf.Filter) {
	t.Helper()
	var listing time.Duration
	listed := make(chan struct{})
	g := task.New(t.Context())
	g.Go("list", func(context.Context) error {
		defer close(listed)
		began := time.Now()
		_, err := f.Blocked()
		listing = time.Since(began)
		return err
	})
	var longest time.Duration
	for done := false; !done; {
		began := time.Now()
		block(t, f, "2001:db8::9/128")
		longest = max(longest, time.Since(began))
		select {
		case <-listed:
			done = true
		default:
		}
	}
	require.NoError(t, g.Wait())
	t.Logf("listed in %v, the longest block meanwhile took %v", listing, longest)
	require.Less(t, longest, listing/2, "a block waits until the list is read")
}

// The tables of networks, most of the kernel's index, have no copy in this process.
func TestFilterKeepsLittleMemory(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	f := newFilter(t, 0)
	require.Less(t, heap()-before, int64(512<<10))
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}}))
}
