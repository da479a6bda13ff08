package main

import (
	"fmt"
	"time"
)

// when formats t for a table: how long ago it was, or in how long it is; absolute with --utc, in lines that stay on the
// screen (--follow), and where it is years away.
func (a *app) when(t time.Time, absolute func(time.Time) string) string {
	const far = 1000 * 24 * time.Hour
	away := time.Since(t)
	switch {
	case t.IsZero(), a.utc, a.following, away.Abs() >= far:
		return absolute(t)
	case away < 0:
		return "in " + shortDuration(-away)
	}
	return shortDuration(away) + " ago"
}

// shortDuration returns d in its largest unit, such as 59m or 12d.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
