package safety_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

func TestBlockFilterRefusesNetworks(t *testing.T) {
	t.Parallel()
	f := safety.BlockFilter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("2001:db8:0:7::25/128"), netip.MustParsePrefix("2001:db8:1::/48")}}
	for text, want := range map[string]string{
		"2001:db8:0:7::/64": "never_block", "2001:db8:1:5::/64": "never_block", "2001:db8:0:8::/64": "", "::/64": "this machine",
	} {
		if got := f.RefuseNetwork(netip.MustParsePrefix(text)); want == "" {
			require.Empty(t, got, text)
		} else {
			require.Contains(t, got, want, text)
		}
	}
}

func TestBlockFilterRefusesAddresses(t *testing.T) {
	t.Parallel()
	a := safety.BlockFilter{NeverBlock: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	for text, want := range map[string]string{
		"":                 "names no source",
		"spoofed":          "not an address",
		"0.0.0.0":          "unspecified",
		"::":               "unspecified",
		"127.0.0.53":       "of this machine",
		"::1":              "of this machine",
		"169.254.169.254":  "its link",
		"fe80::1%eth0":     "its link",
		"224.0.0.1":        "multicast",
		"255.255.255.255":  "multicast",
		"10.1.2.3":         "private",
		"::ffff:10.1.2.3":  "private",
		"172.17.0.2":       "private",
		"192.168.1.1":      "private",
		"100.64.0.1":       "private",
		"fd00::1":          "private",
		"198.51.100.7":     "never_block",
		"203.0.113.7":      "",
		"2001:db8::7":      "",
		"::ffff:192.0.2.1": "",
	} {
		addr, got := a.Parse(text)
		if want == "" {
			require.Empty(t, got, text)
			require.Equal(t, netip.MustParseAddr(text).Unmap(), addr)
			continue
		}
		require.Contains(t, got, want, text)
	}
	a.AllowPrivate = true
	_, got := a.Parse("10.1.2.3")
	require.Empty(t, got)
}

func TestOwnAddressesAreNeverBlocked(t *testing.T) {
	t.Parallel()
	own, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, o := range own {
		_, got := safety.BlockFilter{AllowPrivate: true}.Parse(netip.MustParsePrefix(o.String()).Addr().String())
		require.NotEmpty(t, got, o)
	}
}

func TestStaleGoesByTheAlertsOwnTimes(t *testing.T) {
	t.Parallel()
	const limit = 5 * time.Minute
	at := func(raised, seen time.Duration) *event.Alert {
		return &event.Alert{Time: now.Add(raised), LastSeen: now.Add(seen)}
	}
	require.Empty(t, safety.Stale(at(0, 0), now, limit))
	require.Empty(t, safety.Stale(at(-limit, -limit), now, limit))
	require.Empty(t, safety.Stale(&event.Alert{Time: now}, now, limit))
	require.Contains(t, safety.Stale(at(-limit-time.Second, 0), now, limit), "5m1s old, the limit is 5m0s")
	require.Contains(t, safety.Stale(at(0, -time.Hour), now, limit), "1h0m0s old", "an old line that was read now")
	require.Contains(t, safety.Stale(at(2*time.Minute, 0), now, limit), "in the future")
	require.Contains(t, safety.Stale(at(0, time.Hour), now, limit), "in the future")

	received := at(0, -5*time.Hour)
	received.Received = now
	require.Empty(t, safety.Stale(received, now, limit), "a server that prints local time as UTC")
	received.LastSeen = now.Add(5 * time.Hour)
	require.Empty(t, safety.Stale(received, now, limit))
	received.LastSeen, received.Received = now, now.Add(-time.Hour)
	require.Contains(t, safety.Stale(received, now, limit), "1h0m0s old", "the text makes it no newer")
	require.Equal(t, now.Add(limit-time.Hour), safety.Deadline(at(0, -time.Hour), limit))
}
