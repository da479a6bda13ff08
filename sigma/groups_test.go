package sigma_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// observe plays one event of a rank and reports whether a correlation fired.
func observe(rs *sigma.RuleSet, c *sigma.Correlator, s step, rank uint8) bool {
	ev := s.event()
	ev.Rank = rank
	began, _ := c.Observe(ev, rs.Match(ev))
	return len(began) > 0
}

// spray adds one event each of n groups that were not there before.
func spray(rs *sigma.RuleSet, c *sigma.Correlator, at, n int, rank uint8, next *int) {
	for range n {
		*next++
		observe(rs, c, step{at, fmt.Sprintf("a/spray%d", *next)}, rank)
	}
}

// 100,000 groups of one event evict no attack that is under way, of the same rank or a stronger one. Seeds choose
// between which attempts the groups come.
func TestSprayedGroupsHideNoAttack(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(strings.Replace(countOfA, "gte: 3", "gte: 5", 1)), sigma.Options{})
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := rs.NewCorrelator()
		next := 0
		fired := false
		for i := range 5 {
			fired = observe(rs, c, step{i, "a/attacker"}, 1) || fired
			if i > 0 {
				spray(rs, c, i, 25_000*r.IntN(2), 1, &next)
				spray(rs, c, i, 20_000, 0, &next)
			}
		}
		require.True(t, fired, "seed %d: %+v", seed, c.Stats())
		require.Greater(t, next, 70_000)
		require.LessOrEqual(t, c.Stats().Groups, 5_000)
	}
}

// Whatever is sprayed, a stronger event counts from the first one, and a weaker rank keeps its share.
func TestRanksKeepTheirRoom(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{Limits: sigma.Limits{MaxGroups: 80}})
	for _, tt := range []struct{ attack, spray uint8 }{{3, 0}, {0, 3}} {
		c := rs.NewCorrelator()
		next := 0
		if tt.attack < tt.spray { // it is the only one of its rank, so below its share
			spray(rs, c, 0, 500, tt.spray, &next)
		}
		for i := range 3 {
			require.Equal(t, i == 2, observe(rs, c, step{i, "a/attacker"}, tt.attack))
			for range 500 { // two events each
				next++
				observe(rs, c, step{i, fmt.Sprintf("a/spray%d", next)}, tt.spray)
				observe(rs, c, step{i, fmt.Sprintf("a/spray%d", next)}, tt.spray)
			}
		}
	}
}

// A correlation takes no room of another.
func TestCorrelationsHaveTheirOwnRoom(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA, strings.Replace(countOfA, "[a]", "[b]", 1)), sigma.Options{Limits: sigma.Limits{MaxGroups: 10, MaxEvents: 100}})
	c := rs.NewCorrelator()
	play(rs, c, steps("0:b/1 1:b/1"))
	for i := range 1000 {
		play(rs, c, []step{{2, fmt.Sprintf("a/%d", i%300)}})
	}
	require.Equal(t, map[string]uint64{"x1": c.Stats().EvictedGroups + c.Stats().EvictedEvents, "x2": 0}, c.Stats().Evicted)
	require.Equal(t, []string{"X2@3"}, play(rs, c, steps("3:b/1")))
}

// A few large groups take the room of no small one.
func TestLargeGroupsGiveWay(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{Limits: sigma.Limits{MaxGroupEvents: 50, MaxEvents: 200}})
	c := rs.NewCorrelator()
	play(rs, c, steps("0:a/victim 1:a/victim"))
	for i := range 5000 {
		play(rs, c, []step{{2, fmt.Sprintf("a/%d", i%20)}})
		require.LessOrEqual(t, c.Stats().Events, 200)
	}
	require.Zero(t, c.Stats().EvictedGroups)
	require.Equal(t, []string{"X1@3"}, play(rs, c, steps("3:a/victim")))
}

// Groups that can count nothing any more are no reason to drop new ones.
func TestExpiredGroupsMakeRoom(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{Limits: sigma.Limits{MaxGroups: 40}})
	c := rs.NewCorrelator()
	for i := range 40 {
		play(rs, c, steps(fmt.Sprintf("0:a/%d 1:a/%d 2:a/%d 3:a/%d", i, i, i, i)))
	}
	later := int(time.Hour / time.Second)
	for i := range 3 {
		for ip := range 40 {
			fired := play(rs, c, []step{{later + i, fmt.Sprintf("a/new%d", ip)}})
			require.Equal(t, i == 2, len(fired) > 0)
		}
	}
	require.Zero(t, c.Stats().EvictedGroups)
}

// A snapshot as the version wrote it that had one limit for all correlations.
func TestRestoreOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	rs := compile(t, correlated(countOfA), sigma.Options{})
	c := rs.NewCorrelator()
	play(rs, c, steps("0:a/1 1:a/1"))
	data, err := c.Snapshot()
	require.NoError(t, err)
	identity, _, _ := strings.Cut(strings.SplitN(string(data), `"correlation":"`, 2)[1], `"`)
	earlier := fmt.Sprintf(`{"version":1,"groups":[{"correlation":%q,"key":"6f5fc0a2a4a1d2c2d3d9ed3b2a7ea9e0","group":["9"],"times":[%d],"ranks":[4]},`+
		`{"correlation":%q,"key":"85c7a6b2e1b3b1a2a9f0d1c3e5f70819","group":["8"],"times":[%d,%d]}]}`,
		identity, start.UnixNano(), identity, start.UnixNano(), start.UnixNano())
	require.NoError(t, c.Restore([]byte(earlier)))
	require.Equal(t, sigma.CorrelatorStats{Groups: 2, Events: 3, Evicted: map[string]uint64{"x1": 0}}, c.Stats())
	again, err := c.Snapshot()
	require.NoError(t, err)
	require.Contains(t, string(again), `"ranks":[4],"top_rank":4`)
}
