package logpipeline

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// guesser gives a matcher with the shipped rules failed logins and returns the alerts.
type guesser struct {
	t     *testing.T
	m     matcher
	lines int
}

func newGuesser(t *testing.T) *guesser {
	t.Helper()
	rules, err := loadRules("")
	require.NoError(t, err)
	return &guesser{t: t, m: newMatcher(rules, alertBuilder{host: "h", machine: "m"})}
}

// fail returns the alerts of the correlations that become true by one more failed login.
func (g *guesser) fail(address string) (alerts []*event.Alert) {
	g.t.Helper()
	g.lines++
	at := time.Date(2026, 3, 1, 12, 0, g.lines, 0, time.UTC)
	line := fmt.Sprintf("%s web1 sshd[77]: Failed password for root from %s port 4711 ssh2", at.Format("Jan _2 15:04:05"), address)
	in := lineInput(parse.New(parse.Options{}), fmt.Sprint("p", g.lines), []byte(line), at)
	in.setOrigin(event.Origin{Transport: event.TransportFile}, event.TrustUnproven)
	got := match(g.m.rules, g.m.alerts, in)
	require.NotEmpty(g.t, got.matches)
	for _, m := range g.m.correlate(got) {
		if m.Began {
			alerts = append(alerts, m.Alert)
		}
	}
	return alerts
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
