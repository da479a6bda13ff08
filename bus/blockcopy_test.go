package bus_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// hubBlocks starts a copy of the hub's blocklist and returns the lists of both and what ends it.
func (e *edgeBus) hubBlocks() (hub, own *bus.Blocklist, copied *bus.HubBlocklist, stop func()) {
	e.t.Helper()
	var err error
	hub, err = e.hub.Conn(bus.Daemon).Blocklist(within(e.t, patience))
	require.NoError(e.t, err)
	own, err = e.own.Conn(bus.Daemon).Blocklist(within(e.t, patience))
	require.NoError(e.t, err)
	copied = bus.NewHubBlocklist(e.forwarder, e.link)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- copied.Run(ctx) }()
	stop = func() {
		cancel()
		require.NoError(e.t, <-done)
	}
	return hub, own, copied, stop
}

// requireHubBlocks waits until the edge has these entries of the hub.
func (e *edgeBus) requireHubBlocks(own *bus.Blocklist, want ...bus.Block) {
	e.t.Helper()
	for i := range want {
		want[i].Hub = true
	}
	require.Eventually(e.t, func() bool {
		have, _, err := own.List(within(e.t, patience))
		require.NoError(e.t, err)
		return slices.Equal(want, slices.DeleteFunc(have, func(b bus.Block) bool { return !b.Hub }))
	}, patience, 5*time.Millisecond)
}

// The edge has what the hub has, also after a time in which neither saw the other; its own entries stay its own.
func TestHubBlocklist(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	hub, own, _, stop := e.hubBlocks()
	a, b, c := newBlock("192.0.2.1/32", time.Hour), newBlock("2001:db8::/64", time.Hour), newBlock("203.0.113.0/24", time.Hour)
	b.Source, c.Source = bus.Operator, bus.Operator
	require.NoError(t, hub.Put(within(t, patience), newBlock("2001:db8:0:1::/64", time.Hour)), "of the hub's guard, which knows its own connections only")
	port := newBlock("192.0.2.1/32", time.Hour)
	port.Scope = bus.Scope{Protocol: "tcp", Port: 443, Rate: 10}
	onWeb := newBlock("192.0.2.1/32", time.Hour)
	onWeb.Hosts = bus.HostsOf("web-1")
	mine := newBlock("192.0.2.1/32", 2*time.Hour)
	require.NoError(t, own.Put(within(t, patience), mine))
	require.NoError(t, hub.Put(within(t, patience), a))
	require.NoError(t, hub.Put(within(t, patience), b))
	require.NoError(t, hub.Put(within(t, patience), port))
	require.NoError(t, hub.Put(within(t, patience), onWeb))
	e.requireHubBlocks(own, a, port, onWeb, b)
	require.NoError(t, hub.RemoveBlock(within(t, patience), onWeb))
	require.NoError(t, hub.Remove(within(t, patience), a.Prefix))
	e.requireHubBlocks(own, port, b)
	require.NoError(t, hub.RemoveBlock(within(t, patience), port))
	e.requireHubBlocks(own, b)
	got, err := own.Get(within(t, patience), mine.Prefix)
	require.NoError(t, err)
	require.Equal(t, mine, got)

	stop()
	require.NoError(t, hub.Remove(within(t, patience), b.Prefix))
	require.NoError(t, hub.Put(within(t, patience), c))
	e.requireHubBlocks(own, b) // what was known holds
	copied := bus.NewHubBlocklist(e.forwarder, e.link)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- copied.Run(ctx) }()
	e.requireHubBlocks(own, c)
	entries, invalid, err := copied.State()
	require.NoError(t, err)
	require.Equal(t, 1, entries)
	require.Zero(t, invalid)
	cancel()
	require.NoError(t, <-done)

	// The edge's own permission is for copies alone.
	list, err := e.forwarder.Blocklist(within(t, patience))
	require.NoError(t, err)
	bound, end := context.WithTimeout(t.Context(), time.Second)
	defer end()
	require.Error(t, list.Put(bound, newBlock("198.51.100.1/32", time.Hour)))
	_, err = own.Get(within(t, patience), netip.MustParsePrefix("198.51.100.1/32"))
	require.ErrorIs(t, err, bus.ErrNotFound)
}

// What would block half of the internet, or is no block, is not copied, and counted until it is gone.
func TestHubBlocklistRefusesWideAndInvalidEntries(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	hub, own, copied, stop := e.hubBlocks()
	_, _, err := copied.State()
	require.ErrorContains(t, err, "not read yet")
	narrow := newBlock("10.0.0.0/8", time.Hour)
	narrow.Source = bus.Operator
	for _, b := range []bus.Block{newBlock("0.0.0.0/0", time.Hour), newBlock("::/1", time.Hour), narrow} {
		b.Source = bus.Operator
		require.NoError(t, hub.Put(within(t, patience), b))
	}
	kv, err := e.hub.Conn(bus.Daemon).KV(within(t, patience), bus.BlocklistBucket)
	require.NoError(t, err)
	_, err = kv.Put(within(t, patience), "c0000201-32", []byte("{}"), 0)
	require.NoError(t, err)
	requireState := func(entries, refused int) {
		require.Eventually(t, func() bool {
			n, bad, err := copied.State()
			return n == entries && bad == refused && err == nil
		}, patience, 5*time.Millisecond)
	}
	requireState(1, 3)
	e.requireHubBlocks(own, narrow)
	require.NoError(t, kv.Delete(within(t, patience), "c0000201-32"))
	require.NoError(t, hub.Remove(within(t, patience), netip.MustParsePrefix("0.0.0.0/0")))
	requireState(1, 1)
	stop()
}

// A snapshot that comes while the bucket is read is compared the next time.
func TestASnapshotDuringAWriteIsNotLost(t *testing.T) {
	t.Parallel()
	own := newEdgeBus(t)
	o := own.Options(bus.Forwarder)
	way := &stallable{InProcess: o.InProcess}
	o.InProcess = way
	conn, err := bus.Connect(within(t, patience), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(within(t, patience)) })
	list, err := conn.Blocklist(within(t, patience))
	require.NoError(t, err)
	copied := bus.NewHubBlocklist(conn, nil)
	copied.Apply(bus.KVEvent{Snapshot: true})

	way.mu.Lock()
	done := make(chan error, 1)
	go func() {
		_, _, err := copied.Changes(within(t, patience), list)
		done <- err
	}()
	require.Eventually(t, func() bool { return !copied.All() }, patience, time.Millisecond)
	copied.Apply(bus.KVEvent{Snapshot: true})
	way.mu.Unlock()
	require.NoError(t, <-done)
	require.True(t, copied.All())
}
