package logpipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

func TestInputIsQuietAgainstItsOwnPast(t *testing.T) {
	t.Parallel()
	var a activity
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	after := time.Hour
	for range 150 { // a line every ten minutes, for 25 hours
		at = at.Add(10 * time.Minute)
		a.add("/var/log/a.log", 1, 0, event.TrustUnproven, at)
	}
	require.Empty(t, a.reasons(after, at.Add(59*time.Minute)))
	got := a.reasons(after, at.Add(61*time.Minute))
	require.Len(t, got, 1)
	require.Equal(t, "/var/log/a.log has brought no line for 3660 s, before that never for more than 600 s", got[0].Text)
	require.Equal(t, at, got[0].Since)
	require.Equal(t, event.Degraded, got[0].Status)
	require.Empty(t, a.reasons(0, at.Add(24*time.Hour)), "turned off")

	at = at.Add(2 * time.Hour)
	a.add("/var/log/a.log", 1, 0, event.TrustUnproven, at)
	require.Empty(t, a.reasons(after, at.Add(9*time.Hour)), "it is known to be silent for two hours")
	require.Len(t, a.reasons(after, at.Add(11*time.Hour)), 1)
}

// What is busy by day and silent at night is not judged before it was seen for a day.
func TestFirstNightIsNotQuiet(t *testing.T) {
	t.Parallel()
	var a activity
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	for day := range 3 {
		for range 66 { // a line every ten minutes, for 11 hours
			at = at.Add(10 * time.Minute)
			a.add("/var/log/a.log", 1, 0, event.TrustUnproven, at)
		}
		require.Empty(t, a.reasons(time.Hour, at.Add(13*time.Hour)), "night %d", day)
		at = at.Add(13 * time.Hour)
	}
}

func TestInputWithoutAPastIsNotQuiet(t *testing.T) {
	t.Parallel()
	var a activity
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for range 1000 { // a burst of the start
		at = at.Add(time.Second)
		a.add("/var/log/a.log", 10, 0, event.TrustUnproven, at)
	}
	require.Empty(t, a.reasons(time.Hour, at.Add(24*time.Hour)))
}

func TestShareOfUnparsedLines(t *testing.T) {
	t.Parallel()
	var a activity
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	a.add("few", 99, 99, event.TrustHost, at)
	a.add("trusted", 200, 150, event.TrustHost, at)
	a.add("other", 200, 100, event.TrustUnproven, at)
	a.add("parsed", 200, 99, event.TrustHost, at)
	got := a.reasons(0, at)
	require.Len(t, got, 2)
	require.Equal(t, "50 % of the lines of other are of no known format: only their text is matched", got[0].Text)
	require.Equal(t, event.Healthy, got[0].Status, "a remark")
	require.Equal(t, event.Degraded, got[1].Status)
	require.Empty(t, a.reasons(0, at.Add(21*time.Minute)), "long ago")
}

func TestNoInputAtAll(t *testing.T) {
	t.Parallel()
	var a activity
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	require.Empty(t, a.noInput(false, 7, at))
	require.Empty(t, a.noInput(true, 7, at.Add(29*time.Second)), "it came back")
	require.Empty(t, a.noInput(false, 7, at.Add(40*time.Second)))
	require.Contains(t, a.noInput(false, 7, at.Add(80*time.Second)), "none of 7 watch_paths is there")
}
