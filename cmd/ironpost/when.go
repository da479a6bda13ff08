package main

import (
	"fmt"
	"strconv"
	"time"
)

// sinceWhen reads --since: a duration back from now, such as 90m, 24h or 7d, a
// time as in RFC 3339, or a day. Empty means from the beginning.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "all" {
		return time.Time{}, nil
	}
	if d, ok := duration(text); ok {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("--since %q is neither a duration such as 90m, 24h or 7d, nor a time such as 2026-11-23 or 2026-11-23T08:00:00Z, nor all", text))
}

// duration is time.ParseDuration with days.
func duration(text string) (time.Duration, bool) {
	if n := len(text) - 1; n > 0 && text[n] == 'd' {
		days, err := strconv.ParseUint(text[:n], 10, 16)
		return time.Duration(days) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// when shows t to a person.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if a.utc {
		return t.UTC().Format(time.RFC3339)
	}
	return t.Local().Format(time.RFC3339)
}
