package bpf_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
)

// withPorts returns an IPv4 frame without options with other ports.
func withPorts(frame []byte, source, destination uint16) []byte {
	out := append([]byte(nil), frame...)
	binary.BigEndian.PutUint16(out[34:], source)
	binary.BigEndian.PutUint16(out[36:], destination)
	return out
}

// passing returns how many of the frames pass at a time.
func passing(t *testing.T, e *bpf.Engine, at time.Time, frames ...[]byte) (n int) {
	t.Helper()
	for _, frame := range frames {
		verdict, err := e.Run(frame, at)
		require.NoError(t, err)
		if verdict == bpf.Pass {
			n++
		}
	}
	return n
}

func many(n int, frame func(i int) []byte) (frames [][]byte) {
	for i := range n {
		frames = append(frames, frame(i))
	}
	return frames
}

func replayEngine(t *testing.T) (*bpf.Filter, *bpf.Engine) {
	t.Helper()
	f, err := bpf.OpenFilter(bpf.FilterOptions{Replay: true})
	usable(t, "bpf", err)
	e, err := bpf.Load(bpf.Options{Interface: "test0", Filter: f, Replay: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, e.Close())
		require.NoError(t, f.Close())
	})
	return f, e
}

func TestScopeOfAPortDropsItAlone(t *testing.T) {
	t.Parallel()
	f, e := replayEngine(t)
	now := time.Unix(1_800_000_000, 0)
	p := netip.MustParsePrefix("10.0.0.0/24") // of the frames' source
	require.NoError(t, f.SetScopes([]bpf.Scope{{Prefix: p, Protocol: 6, Port: 443, Expires: now.Add(time.Minute)}}))
	require.Equal(t, 1, passing(t, e, now, withPorts(synFrame(), 1, 443)), "a scope without an entry does nothing")
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: p, Scoped: true}}))
	require.Zero(t, passing(t, e, now, withPorts(synFrame(), 1, 443), withPorts(ackFrame(), 1, 443)))
	require.Equal(t, 3, passing(t, e, now, withPorts(synFrame(), 1, 80), withPorts(udpFrame(), 1, 443), synFrame6()))
	scopes, err := f.Scopes()
	require.NoError(t, err)
	require.Len(t, scopes, 1)
	require.EqualValues(t, 2, scopes[0].Packets)
	require.Equal(t, p, scopes[0].Prefix)

	require.NoError(t, f.Allow(prefixes("10.0.0.1/32")))
	require.Equal(t, 1, passing(t, e, now, withPorts(synFrame(), 1, 443)), "the allow list wins")
	require.NoError(t, f.Allow(nil))
	require.NoError(t, f.SetScopes([]bpf.Scope{{Prefix: p, Protocol: 6, Port: 443, Expires: now.Add(time.Minute)}, {Prefix: p, Protocol: 17}}))
	require.Zero(t, passing(t, e, now, withPorts(synFrame(), 1, 443), withPorts(udpFrame(), 1, 9)))
	require.Equal(t, 1, passing(t, e, now.Add(2*time.Minute), withPorts(synFrame(), 1, 443)), "it has expired")
	require.NoError(t, f.SetScopes(nil))
	require.Equal(t, 1, passing(t, e, now, withPorts(synFrame(), 1, 443)))

	require.NoError(t, f.SetScopes([]bpf.Scope{{Prefix: p, Protocol: 6, Port: 443}}))
	require.NoError(t, f.Block(entriesOf("10.0.0.0/16")))
	require.Zero(t, passing(t, e, now, withPorts(synFrame(), 1, 80)), "a wider block holds for the other ports")
}

func entriesOf(texts ...string) (entries []bpf.Entry) {
	for _, p := range prefixes(texts...) {
		entries = append(entries, bpf.Entry{Prefix: p})
	}
	return entries
}

func TestRateLimitCountsNewAttempts(t *testing.T) {
	t.Parallel()
	f, e := replayEngine(t)
	now := time.Unix(1_800_000_000, 0)
	p := netip.MustParsePrefix("10.0.0.1/32")
	require.NoError(t, f.SetScopes([]bpf.Scope{{Prefix: p, Rate: 10}}))
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: p, Scoped: true}}))
	syns := many(100, func(i int) []byte { return withPorts(synFrame(), uint16(1000+i), 443) })
	require.Equal(t, 10, passing(t, e, now, syns...), "a second's attempts at once")
	require.Equal(t, 100, passing(t, e, now, many(100, func(i int) []byte { return withPorts(ackFrame(), uint16(1000+i), 443) })...),
		"established connections go on")
	require.Zero(t, passing(t, e, now, udpFrame()))
	require.Equal(t, 5, passing(t, e, now.Add(500*time.Millisecond), syns...))
	total := 0
	for i := range 100 { // ten seconds
		total += passing(t, e, now.Add(time.Second+time.Duration(i)*100*time.Millisecond), syns...)
	}
	require.InDelta(t, 104, total, 6)

	later := now.Add(time.Minute)
	first := withPorts(udpFrame(), 1, 53)
	require.Equal(t, 100, passing(t, e, later, many(100, func(int) []byte { return first })...), "one conversation is one attempt")
	require.Equal(t, 9, passing(t, e, later, many(100, func(i int) []byte { return withPorts(udpFrame(), uint16(2000+i), 53) })...))
	require.Equal(t, 1, passing(t, e, later, first), "it goes on")
}

func TestRateLimitOfIPv6IsThatOfItsNetwork(t *testing.T) {
	t.Parallel()
	f, e := replayEngine(t)
	now := time.Unix(1_800_000_000, 0)
	p := netip.MustParsePrefix("2001:db8::/32") // of the frame's source
	require.NoError(t, f.SetScopes([]bpf.Scope{{Prefix: p, Rate: 10}}))
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: p, Scoped: true}}))
	from := func(at int) func(i int) []byte { // changes a byte of the source
		return func(i int) []byte {
			frame := append([]byte(nil), synFrame6()...)
			frame[14+8+at] = byte(i)
			return frame
		}
	}
	require.Equal(t, 10, passing(t, e, now, many(100, from(15))...), "addresses of one /64")
	require.Equal(t, 100, passing(t, e, now.Add(time.Minute), many(100, from(7))...), "other networks")
}

func TestScopesArePinned(t *testing.T) {
	t.Parallel()
	pins := bpffs(t)
	f, err := bpf.OpenFilter(bpf.FilterOptions{Pins: pins})
	usable(t, "bpf", err)
	p := netip.MustParsePrefix("10.0.0.1/32")
	want := []bpf.Scope{{Prefix: p, Protocol: 6, Port: 443, Rate: 10, Reason: 1}}
	require.NoError(t, f.SetScopes(want))
	require.NoError(t, f.Block([]bpf.Entry{{Prefix: p, Scoped: true}}))
	require.NoError(t, f.Close())
	for _, entries := range []int{0, 100} { // the same set, and a copy of another size
		f, err = bpf.OpenFilter(bpf.FilterOptions{Pins: pins, MaxEntries: entries})
		require.NoError(t, err)
		have, err := f.Scopes()
		require.NoError(t, err)
		require.Equal(t, want, have)
		blocked, err := f.Blocked()
		require.NoError(t, err)
		require.True(t, blocked[0].Scoped)
		require.NoError(t, f.Close())
	}
}
