package tail

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A file that grows steadily and is read an hour later is an hour behind, and not from when it was last read to its end.
func TestAgeIsThatOfTheOldestByte(t *testing.T) {
	t.Parallel()
	var g growth
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	const perSecond, delay = 100, 3600
	for second := range int64(3 * delay) {
		now := at.Add(time.Duration(second) * time.Second)
		done := max(0, (second-delay)*perSecond)
		g.observe(done, (second+1)*perSecond-done, now)
		want := time.Duration(min(second, delay)) * time.Second
		require.InDelta(t, want.Seconds(), g.age(now).Seconds(), 1+2*want.Seconds()/marksOfATime)
	}
	require.Less(t, len(g.marks), 300)
	g.observe(g.marks[len(g.marks)-1].end, 0, at)
	require.Zero(t, g.age(at))
}
