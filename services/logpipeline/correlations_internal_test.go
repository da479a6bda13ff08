package logpipeline

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

// guesser gives a matcher with the shipped rules failed logins and returns the alerts.
type guesser struct {
	t     *testing.T
	m     matcher
	lines int
}

func newGuesser(t *testing.T) *guesser {
	t.Helper()
	rules, err := loadRules(Config{ShippedRules: true})
	require.NoError(t, err)
	return &guesser{t: t, m: newMatcher(rules, alertBuilder{host: "h", machine: "m"})}
}

// fail returns the alerts of the correlations that become true by one more failed login.
func (g *guesser) fail(address string) (alerts []*event.Alert) {
	g.t.Helper()
	began, _ := g.failAt(address, time.Date(2026, 3, 1, 12, 0, g.lines+1, 0, time.UTC), event.TrustUnproven)
	for _, m := range began {
		alerts = append(alerts, m.Alert)
	}
	return alerts
}

// failAt returns the correlations that become true, and all that are, by one more failed login of this time and trust.
func (g *guesser) failAt(address string, at time.Time, trust event.Trust) (began, all []series.Match) {
	g.t.Helper()
	g.lines++
	line := fmt.Sprintf("%s web1 sshd[77]: Failed password for root from %s port 4711 ssh2", at.Format("Jan _2 15:04:05"), address)
	in := lineInput(parse.New(parse.Options{}), nil, fmt.Sprint("p", g.lines), []byte(line), at, parse.Input{})
	in.setOrigin(event.Origin{Transport: event.TransportFile}, trust)
	got := match(g.m.rules, g.m.alerts, in)
	require.NotEmpty(g.t, got.matches)
	for _, m := range g.m.correlate(got) {
		if m.Quiet > 0 {
			all = append(all, m)
		}
		if m.Began {
			began = append(began, m)
		}
	}
	return began, all
}

// A forged line with any time takes back nothing that was counted, of an address or of its network.
func TestForgedTimesTakeBackNoCount(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, address := range []string{"203.0.113.9", "2001:db8:1:2::%x"} {
		for _, back := range []time.Duration{25 * time.Minute, time.Hour, 300 * 24 * time.Hour} {
			for _, forged := range []event.Trust{event.TrustUnproven, event.TrustHost} {
				g := newGuesser(t)
				from := func(n int) string { return strings.ReplaceAll(address, "%x", fmt.Sprintf("%x", n+1)) }
				host := 0
				for n := range 100 {
					at := begin.Add(time.Duration(n) * time.Second)
					began, all := g.failAt(from(n), at, event.TrustHost)
					for _, m := range all {
						if m.Alert.Trust == event.TrustHost {
							host++
							break
						}
					}
					require.Equal(t, n == 4, len(began) > 0, "%v after %d", back, n)
					if n%3 == 2 {
						g.failAt(from(n), at.Add(-back), forged)
					}
				}
				require.GreaterOrEqual(t, host, 96, "%s, %v back, %s", address, back, forged)
			}
		}
	}
}

// Forged lines push no stronger ones out of their group.
func TestForgedLinesPushOutNoStrongerOnes(t *testing.T) {
	t.Parallel()
	g := newGuesser(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 4 {
		g.failAt("203.0.113.9", at, event.TrustHost)
	}
	for range 12_000 {
		g.failAt("203.0.113.9", at.Add(time.Second), event.TrustUnproven)
	}
	began, _ := g.failAt("203.0.113.9", at.Add(2*time.Second), event.TrustHost)
	require.Len(t, began, 1)
	require.Equal(t, event.TrustHost, began[0].Alert.Trust)
}

// An attack spread over one /64 fires as one, and names the address of its last event.
func TestNetworkIsOneSource(t *testing.T) {
	t.Parallel()
	g := newGuesser(t)
	for i := range 4 {
		require.Empty(t, g.fail(fmt.Sprintf("2001:db8:1:2:%x::%x", i, i+1)))
	}
	require.Empty(t, g.fail("2001:db8:1:3::1"), "another network")
	alerts := g.fail("2001:db8:1:2:ffff::9")
	require.Len(t, alerts, 1)
	require.Equal(t, "2001:db8:1:2:ffff::9", alerts[0].Source.IP)
	require.Contains(t, alerts[0].Matched, event.Matched{Field: "src_ip", Value: "2001:db8:1:2::/64", Why: "grouped by"})
	for i := range 20 {
		require.Empty(t, g.fail(fmt.Sprintf("2001:db8:1:2:aaaa::%x", i+1)), "the same attack")
	}
}

// One address fires once, also as part of its network; a further one of the network that does enough fires by itself.
func TestAddressOfNetworkIsCountedByItself(t *testing.T) {
	t.Parallel()
	g := newGuesser(t)
	for _, address := range []string{"2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2::3"} {
		var alerts []*event.Alert
		for range 5 {
			alerts = append(alerts, g.fail(address)...)
		}
		require.Len(t, alerts, 1)
		require.Equal(t, address, alerts[0].Source.IP)
		require.Contains(t, alerts[0].Matched, event.Matched{Field: "src_ip", Value: address, Why: "grouped by"})
	}
}

// Neighbours in one network of IPv4, on one link or in a private network are not one source.
func TestOtherNetworksAreNotOneSource(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"203.0.113.%d", "fe80::%d", "fd00:1:2:3::%d", "::ffff:203.0.113.%d"} {
		g := newGuesser(t)
		for i := range 20 {
			require.Empty(t, g.fail(fmt.Sprintf(form, i+1)), form)
		}
	}
}

func TestCorrelationsSurviveARestart(t *testing.T) {
	t.Parallel()
	g := newGuesser(t)
	for i := range 4 {
		g.fail(fmt.Sprintf("2001:db8:1:2::%x", i))
	}
	require.NoError(t, g.m.use(g.m.rules))
	require.Len(t, g.fail("2001:db8:1:2::9"), 1)
}

// A checkpoint of a version that counted by address alone.
func TestCorrelationsOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	g := newGuesser(t)
	for range 4 {
		g.fail("203.0.113.9")
	}
	saved, err := g.m.correlations.Snapshot()
	require.NoError(t, err)
	var parts savedCorrelations
	require.NoError(t, json.Unmarshal(saved, &parts))
	fresh := newGuesser(t)
	fresh.lines = g.lines
	require.NoError(t, fresh.m.correlations.Restore(parts.Addresses))
	require.Len(t, fresh.fail("203.0.113.9"), 1)
}
