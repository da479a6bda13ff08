package blocklist_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Reconciler at work.
type rig struct {
	*blocklist.Reconciler
	t      *testing.T
	bus    *bustest.Bus
	kernel blocklist.Kernel
	list   *bus.Blocklist
	stop   func()
}

func begin(t *testing.T, b *bustest.Bus, kernel blocklist.Kernel, cfg blocklist.Config) *rig {
	t.Helper()
	r := &rig{t: t, bus: b, kernel: kernel}
	r.Reconciler = blocklist.New(cfg, blocklist.Deps{Kernel: kernel, Bus: b.Conn(bus.EBPFEngine), Host: "web-1", Log: quiet()})
	var err error
	r.list, err = b.Conn(bus.Daemon).Blocklist(within(t, patience))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := false
	g := task.New(ctx)
	g.Go("reconciler", r.Run)
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, g.Wait())
		}
	}
	t.Cleanup(r.stop)
	return r
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func block(prefix string, d time.Duration) bus.Block {
	now := time.Now()
	return bus.Block{Prefix: netip.MustParsePrefix(prefix), Created: now, Expires: now.Add(d), Source: bus.Operator, Reason: "test"}
}

func (r *rig) put(prefix string, d time.Duration) {
	r.t.Helper()
	require.NoError(r.t, r.list.Put(within(r.t, patience), block(prefix, d)))
}

// holds waits until the kernel has exactly these entries.
func (r *rig) holds(want ...string) {
	r.t.Helper()
	var got []string
	ok := func() bool {
		entries, err := r.kernel.Blocked()
		require.NoError(r.t, err)
		got = nil
		for _, e := range entries {
			got = append(got, e.Prefix.String())
		}
		return sameElements(got, want)
	}
	if !eventually(ok) {
		require.ElementsMatch(r.t, want, got)
	}
}

func sameElements(a, b []string) bool {
	counts := map[string]int{}
	for _, s := range a {
		counts[s]++
	}
	for _, s := range b {
		counts[s]--
	}
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}

func eventually(ok func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return false
}

func TestKernelFollowsTheBucket(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.put("203.0.113.7/32", time.Hour)
	r.put("2001:db8::/64", time.Hour)
	r.holds("203.0.113.7/32", "2001:db8::/64")
	require.True(t, m.drops(netip.MustParseAddr("2001:db8::99"), time.Now()))
	require.False(t, m.drops(netip.MustParseAddr("2001:db8::99"), time.Now().Add(time.Hour+time.Second)), "the kernel expires it")

	require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix("203.0.113.7/32")))
	r.holds("2001:db8::/64")
	r.put("2001:db8::/64", time.Second)
	r.holds()
	require.Empty(t, r.Reasons())
}

// After a restart, entries that are still desired are not written, and the others are removed once their owner was read.
func TestRestartWritesOnlyDifferences(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	feed := filepath.Join(t.TempDir(), "feed")
	write(t, feed, "198.51.100.0/24\n198.51.101.0/24\n192.0.2.1\n")
	cfg := blocklist.Config{MaxEntries: 100, Files: []string{feed}}
	r := begin(t, b, m, cfg)
	r.put("203.0.113.7/32", time.Hour)
	r.put("203.0.113.8/32", time.Hour)
	r.holds("203.0.113.7/32", "203.0.113.8/32", "198.51.100.0/23", "192.0.2.1/32")
	r.stop()

	require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix("203.0.113.8/32")))
	write(t, feed, "198.51.100.0/23\n")
	before := m.writes
	r = begin(t, b, m, cfg)
	r.holds("203.0.113.7/32", "198.51.100.0/23")
	require.Equal(t, before+2, m.writes, "two were removed, nothing else was written")
}

func TestEntriesOfAnUnreadFileStayInForce(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	feed := filepath.Join(t.TempDir(), "feed")
	write(t, feed, "198.51.100.0/24\n")
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100, Files: []string{feed}})
	r.put("203.0.113.7/32", time.Hour)
	r.holds("203.0.113.7/32", "198.51.100.0/24")
	r.stop()
	require.NoError(t, m.Block([]bpf.Entry{{Prefix: netip.MustParsePrefix("192.0.2.9/32")}})) // unowned

	r = begin(t, b, m, blocklist.Config{MaxEntries: 100, Files: []string{feed + ".missing"}})
	r.holds("203.0.113.7/32", "198.51.100.0/24")
	require.True(t, eventually(func() bool { return len(r.Reasons()) == 1 }), "the file is missing")
	write(t, feed+".missing", "198.51.101.0/24\n")
	r.holds("203.0.113.7/32", "198.51.101.0/24")
	require.True(t, eventually(func() bool { return len(r.Reasons()) == 0 }))
}

func TestInvalidBucketValuesAreCountedAndIgnored(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	kv, err := b.Conn(bus.Daemon).KV(within(t, patience), bus.BlocklistBucket)
	require.NoError(t, err)
	for key, value := range map[string]string{
		"cb007107-32": "{}", "x": "[]", "a-b-c": "\x00\xff", "00000000-0": `{"prefix":"203.0.113.0/24","source":"x","created":"2026-01-01T00:00:00Z","expires":"2036-01-01T00:00:00Z"}`,
		"00000000000000000000000000000000-0": `{"prefix":"::/0","source":"x","created":"2026-01-01T00:00:00Z","expires":"99999-01-01T00:00:00Z"}`,
	} {
		_, err := kv.Put(within(t, patience), key, []byte(value), 0)
		require.NoError(t, err)
	}
	r.put("203.0.113.9/32", time.Hour)
	r.holds("203.0.113.9/32")
	require.Equal(t, uint64(5), r.Counters()["blocklist_invalid_values"])
	a, err := r.List(blocklist.ListRequest{})
	require.NoError(t, err)
	require.Equal(t, 5, a.InvalidValues)

	_, err = kv.Put(within(t, patience), "cb007109-32", []byte("not any more"), 0)
	require.NoError(t, err)
	r.holds()
}

// Changes of the bucket while the bus restarts are applied.
func TestBusRestartLosesNoChange(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.put("203.0.113.7/32", time.Hour)
	r.holds("203.0.113.7/32")
	b.Restart()
	r.put("203.0.113.8/32", time.Hour)
	require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix("203.0.113.7/32")))
	r.holds("203.0.113.8/32")
}

func TestOperatorEntriesComeFirstWithoutRoomForAll(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(4)
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	write(t, first, "198.51.100.9\n198.51.100.0/29\n")
	write(t, second, "192.0.2.0/24\n")
	r := begin(t, b, m, blocklist.Config{MaxEntries: 4, Files: []string{first, second}})
	r.put("203.0.113.1/32", time.Hour)
	r.holds("203.0.113.1/32", "198.51.100.9/32", "198.51.100.0/29", "192.0.2.0/24")
	require.Eventually(t, func() bool { return len(r.Reasons()) == 0 }, patience, time.Millisecond)

	r.put("203.0.113.2/32", time.Hour)
	r.holds("203.0.113.1/32", "203.0.113.2/32", "198.51.100.9/32", "198.51.100.0/29")
	r.put("203.0.113.3/32", time.Hour)
	r.holds("203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32", "198.51.100.0/29")
	require.Equal(t, []string{"0 blocklist entries of the bus and 2 of files are not enforced: blocklist_max_entries is 4"}, r.Reasons())

	guard := func(n int, d time.Duration) bus.Block {
		e := block(fmt.Sprintf("203.0.113.%d/32", n), d)
		e.Source = bus.ContainerGuard
		return e
	}
	for _, e := range []bus.Block{guard(10, 2*time.Hour), guard(11, 3*time.Hour), guard(12, time.Hour)} {
		require.NoError(t, r.list.Put(within(t, patience), e))
	}
	r.holds("203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32", "203.0.113.11/32")
	require.Equal(t, uint64(2+3), r.Counters()["blocklist_overflow"])

	require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix("203.0.113.2/32")))
	r.holds("203.0.113.1/32", "203.0.113.3/32", "203.0.113.11/32", "203.0.113.10/32")
	for _, n := range []int{1, 3, 10, 11, 12} {
		require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", n))))
	}
	r.holds("198.51.100.9/32", "198.51.100.0/29", "192.0.2.0/24")
	require.Empty(t, r.Reasons())
}

func TestRefusedWriteIsRetried(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.put("203.0.113.1/32", time.Hour)
	r.holds("203.0.113.1/32")
	m.fail(errors.New("operation not permitted"))
	r.put("203.0.113.2/32", time.Hour)
	require.True(t, eventually(func() bool { return strings.Contains(fmt.Sprint(r.Reasons()), "not permitted") }))
	m.fail(nil)
	r.holds("203.0.113.1/32", "203.0.113.2/32")
	require.True(t, eventually(func() bool { return len(r.Reasons()) == 0 }))
}

// A batch that is written does not hide that an earlier one was not.
func TestFailingUntilTheComparisonAfterAFailure(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.put("203.0.113.1/32", time.Hour)
	r.holds("203.0.113.1/32")
	r.reaches(blocklist.InSync)
	m.failOnce(errors.New("operation not permitted"))
	r.put("203.0.113.2/32", time.Hour)
	r.reaches(blocklist.Failing)
	written := r.Counters()["blocklist_written"]
	r.put("203.0.113.3/32", time.Hour)
	require.True(t, eventually(func() bool { return r.Counters()["blocklist_written"] > written }))
	if m.size() < 3 {
		require.Equal(t, blocklist.Failing, r.State(), "203.0.113.2/32 is missing")
		require.NotEmpty(t, r.Reasons())
	}
	r.holds("203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32")
	r.reaches(blocklist.InSync)
	require.Empty(t, r.Reasons())
}

// A write that failed and is no longer needed is not a reason for ever.
func TestFailureEndsWithoutAnythingToWrite(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.put("203.0.113.1/32", time.Hour)
	r.holds("203.0.113.1/32")
	m.fail(errors.New("operation not permitted"))
	r.put("203.0.113.2/32", time.Hour)
	require.True(t, eventually(func() bool { return r.Counters()["blocklist_write_errors"] >= 1 }))
	require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix("203.0.113.2/32")))
	require.True(t, eventually(func() bool { return r.Counters()["blocklist_write_errors"] >= 2 }))
	m.fail(nil)
	require.True(t, eventually(func() bool { return len(r.Reasons()) == 0 }), "%v", r.Reasons())
}

func TestListReturnsEntriesWithDroppedPackets(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	feed := filepath.Join(t.TempDir(), "feed")
	write(t, feed, "198.51.100.0/24\n203.0.113.1\n")
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100, Files: []string{feed}})
	r.put("203.0.113.1/32", time.Hour)
	r.put("203.0.113.2/32", time.Hour)
	r.holds("203.0.113.1/32", "203.0.113.2/32", "198.51.100.0/24")
	m.hit("198.51.100.0/24", 5, 300)
	m.hit("203.0.113.2/32", 7, 400)

	stop, err := b.Conn(bus.EBPFEngine).Serve(context.Background(), bus.ServiceConfig{
		Module: bus.EBPFEngine, Host: b.Host(), Version: "v1.0.0", Verbs: map[string]bus.Verb{"blocklist": r.Verb(b.Host())},
	})
	require.NoError(t, err)
	defer stop()
	ask := func(req any) (a blocklist.ListResponse) {
		require.NoError(t, b.Conn(bus.Operator).Request(within(t, patience), bus.VerbSubject(bus.EBPFEngine, b.Host(), "blocklist"), req, &a))
		return a
	}
	a := ask(nil)
	require.Equal(t, b.Host(), a.Host)
	require.Equal(t, 3, a.Total)
	require.Len(t, a.Entries, 3)
	require.Equal(t, blocklist.Entry{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Feed: true, Packets: 5, Bytes: 300}, a.Entries[0])
	require.True(t, a.Entries[1].Bucket && a.Entries[1].Feed)
	require.Nil(t, a.Entries[1].Expires, "as long as the file lists it")
	require.NotNil(t, a.Entries[2].Expires)
	require.Equal(t, "test", a.Entries[2].Reason)
	require.NotEmpty(t, a.Protected)

	a = ask(blocklist.ListRequest{Limit: 1, Bucket: true})
	require.True(t, a.More)
	require.Equal(t, "203.0.113.1/32", a.Entries[0].Prefix.String())
	a = ask(blocklist.ListRequest{Limit: 1, Bucket: true, After: &a.Entries[0].Prefix})
	require.False(t, a.More)
	require.Equal(t, "203.0.113.2/32", a.Entries[0].Prefix.String())
	inside := netip.MustParsePrefix("198.51.100.7/32")
	require.Len(t, ask(blocklist.ListRequest{Within: &inside}).Entries, 1)
	require.Len(t, ask(blocklist.ListRequest{Dropped: true}).Entries, 2)

	dropped, err := r.TakeDropped()
	require.NoError(t, err)
	require.Len(t, dropped, 2)
	require.Equal(t, uint64(7), dropped[0].Packets)
	require.Equal(t, "blocklist file", dropped[1].Reason)
	m.hit("203.0.113.2/32", 1, 60)
	require.True(t, eventually(func() bool {
		dropped, err = r.TakeDropped()
		require.NoError(t, err)
		return len(dropped) == 1
	}))
	require.Equal(t, uint64(1), dropped[0].Packets)
}

func TestProtectedAddressesAreAllowedBeforeAnyBlock(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.put("0.0.0.0/0", time.Hour)
	r.put("::/0", time.Hour)
	r.holds("0.0.0.0/0", "::/0")
	for _, l := range r.ProtectedAddresses() {
		require.False(t, m.drops(l.Prefix.Addr(), time.Now()), "%v", l)
	}
	require.True(t, m.drops(netip.MustParseAddr("203.0.113.1"), time.Now()))
	require.True(t, m.drops(netip.MustParseAddr("2001:db8::1"), time.Now()))
}

// Entries of files stay in the kernel through a restart; without any file in the configuration nothing owns them.
func TestEntriesOfFilesAreRemovedWhenNoFileIsConfigured(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	feed := filepath.Join(t.TempDir(), "feed")
	write(t, feed, "198.51.100.0/24\n")
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100, Files: []string{feed}})
	r.put("203.0.113.7/32", time.Hour)
	r.holds("203.0.113.7/32", "198.51.100.0/24")
	r.stop()
	r = begin(t, b, m, blocklist.Config{MaxEntries: 100})
	r.holds("203.0.113.7/32")
}

// stuckKernel is a kernel whose calls wait until released is closed.
type stuckKernel struct {
	*model
	called, released chan struct{}
}

func (s *stuckKernel) Allow(prefixes []netip.Prefix) error {
	s.called <- struct{}{}
	<-s.released
	return s.model.Allow(prefixes)
}

func TestHealthDoesNotWaitForTheKernel(t *testing.T) {
	t.Parallel()
	kernel := &stuckKernel{model: newModel(100), called: make(chan struct{}, 10), released: make(chan struct{})}
	r := begin(t, bustest.New(t), kernel, blocklist.Config{MaxEntries: 100})
	<-kernel.called
	answered := make(chan struct{})
	g := task.New(context.Background())
	g.Go("health", func(context.Context) error {
		defer close(answered)
		_, _, _ = r.Counters(), r.Reasons(), r.ProtectedAddresses()
		return nil
	})
	select {
	case <-answered:
	case <-time.After(patience):
		t.Error("health waits for the kernel")
	}
	close(kernel.released)
	require.NoError(t, g.Wait())
}

func (r *rig) reaches(state string) {
	r.t.Helper()
	require.True(r.t, eventually(func() bool { return r.State() == state }), "%s instead of %s", r.State(), state)
}

func TestStatesOfReconciliation(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(2)
	feed := filepath.Join(t.TempDir(), "feed")
	r := begin(t, b, m, blocklist.Config{MaxEntries: 2, Files: []string{feed}})
	r.reaches(blocklist.Loading)
	write(t, feed, "198.51.100.1\n")
	r.reaches(blocklist.InSync)
	write(t, feed, "198.51.100.1\n198.51.100.3\n198.51.100.5\n")
	r.reaches(blocklist.KernelFull)
	m.fail(errors.New("operation not permitted"))
	r.put("203.0.113.2/32", time.Hour)
	r.reaches(blocklist.Failing)
	m.fail(nil)
	r.reaches(blocklist.KernelFull)
	write(t, feed, "198.51.100.1\n198.51.100.1/32\n")
	r.reaches(blocklist.InSync)
}

// A prefix that both this host and the hub block is blocked until the last of both ends, and neither takes the other's out.
func TestBlocksOfTheHub(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	hub, err := b.Conn(bus.Forwarder).KV(within(t, patience), bus.BlocklistBucket)
	require.NoError(t, err)
	const prefix = "203.0.113.7/32"
	key := "hub." + bus.BlockKey(netip.MustParsePrefix(prefix))
	put := func(d time.Duration) {
		t.Helper()
		block := block(prefix, d)
		block.Hub = true
		_, value, ttl, err := block.Encode(time.Now())
		require.NoError(t, err)
		_, err = hub.Put(within(t, patience), key, value, ttl)
		require.NoError(t, err)
	}
	lasts := func(d time.Duration) {
		t.Helper()
		require.True(t, eventually(func() bool {
			return m.drops(netip.MustParseAddr("203.0.113.7"), time.Now().Add(d-time.Minute)) && !m.drops(netip.MustParseAddr("203.0.113.7"), time.Now().Add(d+time.Minute))
		}))
	}
	put(time.Hour)
	lasts(time.Hour)
	r.put(prefix, 2*time.Hour)
	lasts(2 * time.Hour)
	put(3 * time.Hour)
	lasts(3 * time.Hour)
	require.NoError(t, hub.Delete(within(t, patience), key))
	lasts(2 * time.Hour)
	put(time.Hour)
	r.stop()
	r = begin(t, b, m, blocklist.Config{MaxEntries: 100})
	lasts(2 * time.Hour)
	require.NoError(t, r.list.Remove(within(t, patience), netip.MustParsePrefix(prefix)))
	lasts(time.Hour)
	require.NoError(t, hub.Delete(within(t, patience), key))
	r.holds()
}

// An entry for other hosts is not enforced, and one for this host stands beside that for all: neither takes the other out.
func TestBlocksOfCertainHosts(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(100)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 100})
	on := func(prefix string, d time.Duration, hosts ...string) bus.Block {
		t.Helper()
		block := block(prefix, d)
		block.Hosts = bus.HostsOf(hosts...)
		require.NoError(t, r.list.Put(within(t, patience), block))
		return block
	}
	lasts := func(d time.Duration) {
		t.Helper()
		at := func(d time.Duration) bool { return m.drops(netip.MustParseAddr("203.0.113.7"), time.Now().Add(d)) }
		require.True(t, eventually(func() bool { return at(d-time.Minute) && !at(d+time.Minute) }))
	}
	on("203.0.113.6/32", time.Hour, "db-1")
	scoped := block("203.0.113.5/32", time.Hour)
	scoped.Scope, scoped.Hosts = bus.Scope{Protocol: "tcp", Port: 443}, bus.HostsOf("db-1")
	require.NoError(t, r.list.Put(within(t, patience), scoped))
	here := on("203.0.113.7/32", 2*time.Hour, "db-1", "web-1")
	lasts(2 * time.Hour)
	r.holds("203.0.113.7/32")
	everywhere := on("203.0.113.7/32", time.Hour)
	other := on("203.0.113.7/32", 3*time.Hour, "db-1")
	r.stop()
	r = begin(t, b, m, blocklist.Config{MaxEntries: 100})
	lasts(2 * time.Hour)
	require.NoError(t, r.list.RemoveBlock(within(t, patience), here))
	lasts(time.Hour)
	list, err := r.Check(netip.MustParseAddr("203.0.113.7"), []string{"eth0"})
	require.NoError(t, err)
	require.True(t, list.Blocks[0].Hosts.All())
	require.NoError(t, r.list.RemoveBlock(within(t, patience), other))
	require.NoError(t, r.list.RemoveBlock(within(t, patience), everywhere))
	r.holds()
}

// Weak blocks, however new and long, push no stronger one out of a full list, and a stronger one takes the place of a weak one.
func TestWeakBlocksPushNoStrongerOneOut(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(2)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 2})
	automatic := func(prefix string, trust event.Trust, d time.Duration) {
		t.Helper()
		block := block(prefix, d)
		block.Source, block.Trust = bus.ContainerGuard, trust
		require.NoError(t, r.list.Put(within(t, patience), block))
	}
	automatic("203.0.113.1/32", event.TrustHost, time.Hour)
	for n := range 20 {
		automatic(fmt.Sprintf("198.51.100.%d/32", n), event.TrustUnproven, 2*time.Hour+time.Duration(n)*time.Minute)
	}
	r.holds("203.0.113.1/32", "198.51.100.19/32")
	automatic("203.0.113.2/32", event.TrustKernel, time.Minute)
	r.holds("203.0.113.1/32", "203.0.113.2/32")
}

// A feed longer than the list leaves the guard half of it, and many alerts leave the feed the other half.
func TestFeedAndAutomaticBlocksShareAFullList(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(4)
	feed := filepath.Join(t.TempDir(), "feed")
	write(t, feed, "198.51.100.1\n")
	r := begin(t, b, m, blocklist.Config{MaxEntries: 4, Files: []string{feed}})
	for n := 1; n <= 4; n++ {
		e := block(fmt.Sprintf("203.0.113.%d/32", n), time.Duration(n)*time.Hour)
		e.Source = bus.ContainerGuard
		require.NoError(t, r.list.Put(within(t, patience), e))
	}
	r.holds("203.0.113.2/32", "203.0.113.3/32", "203.0.113.4/32", "198.51.100.1/32")
	write(t, feed, "198.51.100.1\n198.51.100.3\n198.51.100.5\n198.51.100.7\n198.51.100.9\n")
	r.holds("203.0.113.3/32", "203.0.113.4/32", "198.51.100.1/32", "198.51.100.3/32")
	require.Equal(t, []string{"2 blocklist entries of the bus and 3 of files are not enforced: blocklist_max_entries is 4"}, r.Reasons())
	r.put("192.0.2.1/32", time.Hour)
	r.holds("192.0.2.1/32", "203.0.113.3/32", "203.0.113.4/32", "198.51.100.1/32")
}

// A prefix is as important as the most important of its blocks: a weak one that lasts longer pushes no operator's out of a full list.
func TestLongWeakBlockMakesAPrefixNoLessImportant(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(2)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 2})
	automatic := func(prefix string, trust event.Trust, d time.Duration, hosts ...string) bus.Block {
		t.Helper()
		block := block(prefix, d)
		block.Source, block.Trust, block.Hosts = bus.ContainerGuard, trust, bus.HostsOf(hosts...)
		require.NoError(t, r.list.Put(within(t, patience), block))
		return block
	}
	r.put("203.0.113.1/32", time.Hour)
	weak := automatic("203.0.113.1/32", event.TrustUnproven, 3*time.Hour, "web-1")
	automatic("203.0.113.2/32", event.TrustHost, time.Hour)
	automatic("203.0.113.3/32", event.TrustHost, 2*time.Hour)
	r.holds("203.0.113.1/32", "203.0.113.3/32")
	r.stop()
	r = begin(t, b, m, blocklist.Config{MaxEntries: 2})
	automatic("203.0.113.4/32", event.TrustHost, 3*time.Hour)
	r.holds("203.0.113.1/32", "203.0.113.4/32")
	require.NoError(t, r.list.RemoveBlock(within(t, patience), block("203.0.113.1/32", time.Hour)))
	r.holds("203.0.113.3/32", "203.0.113.4/32")
	r.put("203.0.113.1/32", time.Hour)
	r.holds("203.0.113.1/32", "203.0.113.4/32")
	require.NoError(t, r.list.RemoveBlock(within(t, patience), weak))
	r.holds("203.0.113.1/32", "203.0.113.4/32")
}
