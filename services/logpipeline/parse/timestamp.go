package parse

import (
	"strings"
	"time"
)

// maxYearsBack is how many years ago a date without a year can be: 29 February
// exists every fourth year, except for 1900, 2100, …
const maxYearsBack = 8

// cutTimestamp parses a timestamp at the start of s and returns the rest.
func (p settings) cutTimestamp(s string) (time.Time, string, bool) {
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		return p.cutISOTimestamp(s)
	}
	return p.cutBSDTimestamp(s)
}

// cutISOTimestamp parses RFC 3339, also without a zone, or with a zone without
// colon as journalctl -o short-iso writes it.
func (p settings) cutISOTimestamp(s string) (time.Time, string, bool) {
	stamp, rest, _ := strings.Cut(s, " ")
	if len(stamp) < len("2006-01-02T15:04:05") || len(stamp) > len(time.RFC3339Nano) {
		return time.Time{}, "", false
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, stamp, p.zone); err == nil {
			return t, rest, true
		}
	}
	return time.Time{}, "", false
}

// cutBSDTimestamp parses "Jan  2 15:04:05" (RFC 3164, section 4.1.2): a day of one
// or two digits, optionally a year after it (Cisco), optionally a fraction of a
// second.
func (p settings) cutBSDTimestamp(s string) (time.Time, string, bool) {
	if !hasMonth(s) || len(s) < len("Jan 2 15:04:05") || s[3] != ' ' {
		return time.Time{}, "", false
	}
	day, rest, _ := strings.Cut(strings.TrimLeft(s[4:], " "), " ")
	stamp, rest, _ := strings.Cut(rest, " ")
	year := ""
	if len(stamp) == 4 {
		year = stamp
		stamp, rest, _ = strings.Cut(rest, " ")
	}
	stamp = strings.TrimSuffix(stamp, ":")
	if len(day) > 2 || len(stamp) > len("15:04:05.999999999") {
		return time.Time{}, "", false
	}
	date := s[:3] + " " + day + " " + stamp
	if year != "" {
		t, err := p.parseDate(year, date)
		return t, rest, err == nil
	}
	t, ok := p.guessYear(date)
	return t, rest, ok
}

func (p settings) parseDate(year, date string) (time.Time, error) {
	return time.ParseInLocation("2006 Jan 2 15:04:05", year+" "+date, p.zone)
}

// guessYear returns date in the newest year in which it is before tomorrow: a line
// of 31 December that is read on 1 January is from last year, and one whose clock
// is a little fast is not from a year ago.
func (p settings) guessYear(date string) (time.Time, bool) {
	if _, err := p.parseDate("2000", date); err != nil { // a leap year: invalid there, invalid in every year
		return time.Time{}, false
	}
	limit := p.now.AddDate(0, 0, 1)
	for year := limit.In(p.zone).Year(); year > limit.Year()-maxYearsBack; year-- {
		if t, err := p.parseDate(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006"), date); err == nil && !t.After(limit) {
			return t, true
		}
	}
	return time.Time{}, false
}

func hasMonth(s string) bool {
	if len(s) < 3 {
		return false
	}
	switch s[:3] {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec":
		return true
	}
	return false
}
