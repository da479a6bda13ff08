//go:build accept

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// Attacks that go on while the daemon is killed ten times at any moment are one series each, whose count is that of their lines.
func TestAcceptSeriesOverKills(t *testing.T) {
	const kills, attackers = 10, 3
	s := newInstance(t)
	s.replace("[log_pipeline]\n", "[log_pipeline]\ndedup_window_secs = 10\n")
	s.start()
	written := map[string]int{}
	attack := func(lines int) {
		for range lines {
			user := fmt.Sprint("attacker", rand.IntN(attackers))
			written[user]++
			s.append([]byte(rootShell(user)))
			time.Sleep(time.Millisecond)
		}
	}
	for range kills {
		attack(100 + rand.IntN(1500))
		s.kill()
		attack(rand.IntN(50))
		s.start()
	}
	attack(500)
	over := func() map[string]int {
		counts := map[string]int{}
		for _, a := range s.alerts() {
			if a.State == event.Over {
				counts[a.User] = a.Count
			}
		}
		return counts
	}
	s.eventually(func() bool { return len(over()) == attackers })

	revisions, ids, series := map[string]int{}, map[string]bool{}, map[string]string{}
	repeated, second := 0, 0
	for _, a := range s.alerts() {
		if ids[a.ID] || a.Revision != revisions[a.User] {
			repeated++
		}
		ids[a.ID] = true
		revisions[a.User]++
		if first, known := series[a.User]; known && first != a.Series {
			second++
		}
		series[a.User] = a.Series
	}
	t.Logf("%d kills: lines %v, counts %v (bar: equal), revisions %v, out of order or repeated %d (bar 0), second series %d (bar 0)",
		kills, written, over(), revisions, repeated, second)
	require.Equal(t, written, over())
	require.Zero(t, repeated)
	require.Zero(t, second)
}
