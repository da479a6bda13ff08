package parse

import (
	"strings"
	"time"
)

// leapSearch is how many years back a date without year may lie: 29 February
// exists every fourth year, but for 1900, 2100, …
const leapSearch = 8

// clock reads a timestamp at the start of s and returns the rest behind it.
func (p *Parser) clock(s string, now time.Time) (time.Time, string, bool) {
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		return p.isoClock(s)
	}
	return p.bsdClock(s, now)
}

// isoClock reads RFC 3339, and the same without zone or with one lacking its
// colon, as journalctl -o short-iso writes it.
func (p *Parser) isoClock(s string) (time.Time, string, bool) {
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

// bsdClock reads "Jan  2 15:04:05": a day of one or two digits, perhaps a year
// behind it (Cisco), perhaps a fraction of a second (RFC 3164, section 4.1.2).
func (p *Parser) bsdClock(s string, now time.Time) (time.Time, string, bool) {
	month, ok := monthOf(s)
	if !ok || len(s) < len("Jan 2 15:04:05") || s[3] != ' ' {
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
	t, ok := p.dated(date{year: year, month: month, day: day, clock: stamp}, now)
	return t, rest, ok
}

type date struct{ year, month, day, clock string }

// dated completes d. Without a year it is the newest year in which d lies before
// tomorrow: a line written on 31 December and read on 1 January is of last year,
// and a clock that goes a little fast is not a year behind.
func (p *Parser) dated(d date, now time.Time) (time.Time, bool) {
	parse := func(year string) (time.Time, error) {
		return time.ParseInLocation("2006 Jan 2 15:04:05", year+" "+d.month+" "+d.day+" "+d.clock, p.zone)
	}
	if d.year != "" {
		t, err := parse(d.year)
		return t, err == nil
	}
	// 2000 is a leap year: what is no date in it is no date in any.
	if _, err := parse("2000"); err != nil {
		return time.Time{}, false
	}
	limit := now.AddDate(0, 0, 1)
	for year := limit.In(p.zone).Year(); year > limit.Year()-leapSearch; year-- {
		if t, err := parse(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006")); err == nil && !t.After(limit) {
			return t, true
		}
	}
	return time.Time{}, false
}

func monthOf(s string) (string, bool) {
	if len(s) < 3 {
		return "", false
	}
	switch m := s[:3]; m {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec":
		return m, true
	}
	return "", false
}
