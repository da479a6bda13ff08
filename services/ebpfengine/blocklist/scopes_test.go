package blocklist_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func TestScopesOfTheBucketReachTheKernel(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(10)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 10})
	list, err := b.Conn(bus.Daemon).Blocklist(t.Context())
	require.NoError(t, err)
	now := time.Now()
	p := netip.MustParsePrefix("203.0.113.7/32")
	limit := bus.Block{
		Prefix: p, Scope: bus.Scope{Protocol: "tcp", Port: 443, Rate: 10}, Created: now, Expires: now.Add(time.Hour), Source: bus.Operator, Reason: "slow down",
	}
	require.NoError(t, list.Put(t.Context(), limit))
	scoped := func() bool {
		entries, _ := m.Blocked()
		scopes, _ := m.Scopes()
		return len(scopes) == 1 && len(entries) == 1 && entries[0].Scoped
	}
	require.True(t, eventually(scoped))
	scopes, err := m.Scopes()
	require.NoError(t, err)
	require.Equal(t, bpf.Scope{Prefix: p, Protocol: 6, Port: 443, Rate: 10, Reason: scopes[0].Reason, Expires: scopes[0].Expires}, scopes[0])
	require.WithinDuration(t, limit.Expires, scopes[0].Expires, time.Second)

	answer, err := r.Check(p.Addr(), []string{"eth0"})
	require.NoError(t, err)
	require.Equal(t, blocklist.Limited, answer.Verdict)
	require.Equal(t, limit.Scope, answer.Blocks[0].Scope)
	require.Equal(t, "slow down", answer.Blocks[0].Reason)
	all, err := r.List(blocklist.ListRequest{})
	require.NoError(t, err)
	require.Len(t, all.Entries, 1)

	m.drop(3)
	require.True(t, eventually(func() bool {
		dropped, err := r.TakeDropped()
		require.NoError(t, err)
		return len(dropped) == 1 && dropped[0] == event.BlockedTraffic{Prefix: p.String(), Packets: 3, Reason: "slow down"}
	}))

	full := limit
	full.Scope = bus.Scope{}
	require.NoError(t, list.Put(t.Context(), full))
	require.True(t, eventually(func() bool { e, _ := m.Blocked(); return len(e) == 1 && !e[0].Scoped }))
	answer, err = r.Check(p.Addr(), []string{"eth0"})
	require.NoError(t, err)
	require.Equal(t, blocklist.Blocked, answer.Verdict)
	require.NoError(t, list.Remove(t.Context(), p))
	require.True(t, eventually(scoped), "the limit holds on")

	limit.Expires = now.Add(2 * time.Second)
	require.NoError(t, list.Put(t.Context(), limit))
	require.True(t, eventually(func() bool {
		e, _ := m.Blocked()
		s, _ := m.Scopes()
		return len(e) == 0 && len(s) == 0
	}), "it expires")
}

// limitOf returns a rate limit of one TCP port of an address.
func limitOf(address string, port uint16, rate int, d time.Duration) bus.Block {
	b := block(address+"/32", d)
	b.Scope = bus.Scope{Protocol: "tcp", Port: port, Rate: rate}
	return b
}

// Where this host and the hub limit the same port, the lower rate holds; then that which is left.
func TestScopesOfTheHub(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(10)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 10})
	hub, err := b.Conn(bus.Forwarder).KV(within(t, patience), bus.BlocklistBucket)
	require.NoError(t, err)
	rate := func(want int) {
		t.Helper()
		require.True(t, eventually(func() bool {
			scopes, _ := m.Scopes()
			return len(scopes) == 1 && scopes[0].Rate == want
		}))
	}
	of := limitOf("203.0.113.7", 443, 10, time.Hour)
	of.Hub = true
	key, value, ttl, err := of.Encode(time.Now())
	require.NoError(t, err)
	_, err = hub.Put(within(t, patience), key, value, ttl)
	require.NoError(t, err)
	rate(10)
	require.NoError(t, r.list.Put(within(t, patience), limitOf("203.0.113.7", 443, 50, 2*time.Hour)))
	own := limitOf("203.0.113.7", 443, 5, 30*time.Minute)
	require.NoError(t, r.list.Put(within(t, patience), own))
	rate(5)
	r.stop()
	r = begin(t, b, m, blocklist.Config{MaxEntries: 10})
	rate(5)
	require.NoError(t, r.list.RemoveBlock(within(t, patience), own))
	rate(10)
	require.NoError(t, hub.Delete(within(t, patience), key))
	require.True(t, eventually(func() bool {
		entries, _ := m.Blocked()
		scopes, _ := m.Scopes()
		return len(entries) == 0 && len(scopes) == 0
	}))
}

// An operator's entry has room before automatic ones, and what is without room is said.
func TestScopesWithoutRoom(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(2000)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 2000})
	for i := range bpf.MaxScopes {
		automatic := limitOf(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}).String(), 443, 10, time.Hour)
		automatic.Source, automatic.Created = "container-guard", automatic.Created.Add(time.Duration(i)*time.Millisecond)
		require.NoError(t, r.list.Put(within(t, patience), automatic))
	}
	operators := limitOf("198.51.100.7", 443, 10, time.Hour)
	operators.Source, operators.Created = bus.Operator, operators.Created.Add(-time.Minute)
	require.NoError(t, r.list.Put(within(t, patience), operators))
	require.True(t, eventually(func() bool {
		entries, _ := m.Blocked()
		scopes, _ := m.Scopes()
		return len(entries) == bpf.MaxScopes && len(scopes) == bpf.MaxScopes && slices.ContainsFunc(scopes, func(s bpf.Scope) bool { return s.Prefix == operators.Prefix })
	}))
	require.EqualValues(t, 1, r.Counters()["blocklist_overflow"])
	require.Contains(t, r.Reasons(), "1 blocks of ports or with a rate are not enforced: there is room for 1024")
	answer, err := r.Check(netip.MustParseAddr("203.0.0.0"), []string{"eth0"}) // the oldest
	require.NoError(t, err)
	require.Equal(t, blocklist.NotEnforced, answer.Verdict)
	require.False(t, answer.Blocks[0].Enforced)
	require.NoError(t, r.list.RemoveBlock(within(t, patience), operators))
	require.True(t, eventually(func() bool {
		answer, err := r.Check(netip.MustParseAddr("203.0.0.0"), []string{"eth0"})
		return err == nil && answer.Verdict == blocklist.Limited && len(r.Reasons()) == 0
	}))
}

// An entry that the kernel refused is written again.
func TestScopesAreRepaired(t *testing.T) {
	t.Parallel()
	b, m := bustest.New(t), newModel(10)
	r := begin(t, b, m, blocklist.Config{MaxEntries: 10})
	m.fail(errors.New("operation not permitted"))
	require.NoError(t, r.list.Put(within(t, patience), limitOf("203.0.113.7", 443, 10, time.Hour)))
	r.reaches(blocklist.Failing)
	m.fail(nil)
	require.True(t, eventually(func() bool {
		answer, err := r.Check(netip.MustParseAddr("203.0.113.7"), []string{"eth0"})
		return err == nil && answer.Verdict == blocklist.Limited
	}))
	r.reaches(blocklist.InSync)
}
