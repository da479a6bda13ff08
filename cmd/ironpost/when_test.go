package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimesOfTablesAreRelative(t *testing.T) {
	t.Parallel()
	a := &app{}
	const slack = 30 * time.Second // this machine may be slow, and only seconds show it
	for want, ago := range map[string]time.Duration{
		"2m ago": 2*time.Minute + slack, "59m ago": 59*time.Minute + slack, "1h ago": time.Hour + slack, "47h ago": 47*time.Hour + slack,
		"2d ago": 48*time.Hour + slack, "999d ago": 999*24*time.Hour + slack, "in 59m": -time.Hour + slack, "in 6d": -7*24*time.Hour + slack,
	} {
		require.Equal(t, want, a.when(time.Now().Add(-ago), a.time))
	}
	require.Regexp(t, `^[0-9]+s ago$`, a.when(time.Now(), a.time))
	require.Equal(t, "-", a.when(time.Time{}, a.time))
	old := time.Now().AddDate(-5, 0, 0)
	require.Equal(t, a.time(old), a.when(old, a.time))
	a.following = true
	require.Equal(t, a.time(began), a.when(began, a.time), "a line that stays must not grow old")
	a = &app{utc: true}
	require.Equal(t, "2026-11-23 08:00", a.when(began, a.minute))
}
