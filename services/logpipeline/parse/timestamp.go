package parse

import (
	"strings"
	"time"
)

// maxYearsBack is how many years ago a date without a year can be: 29 February
// exists every fourth year, except for 1900, 2100, …
const maxYearsBack = 8

// date is a calendar day as it is written; year 0 is none.
type date struct {
	year, month, day int
}

// stamp is a time at the start of a line.
type stamp struct {
	at time.Time
	// common is set if lines that are not from syslog begin like this, too; isT if it is of RFC 3339, which has a T before the clock.
	common, isT bool
}

// cutTimestamp parses a time at the start of s, and the zone and the year that may follow it, and returns the rest without the blanks
// and the colon after the time. The forms are
//
//	Nov  3 15:04:05, Nov 3 2026 15:04:05, 3 Nov 15:04:05      (RFC 3164, 4.1.2, Cisco, others)
//	2026-11-03T15:04:05, 2026-11-03 15:04:05, 2026/11/03 15:04:05
//	1795982400.123456                                          (journalctl -o short-unix)
//
// with a day of the week before them and a fraction after a point or a comma; see cutClock and cutZone.
func (p *settings) cutTimestamp(s string) (t stamp, rest string, ok bool) {
	if len(s) < len("1 Jan 1:02:03") {
		return stamp{}, "", false
	}
	if isDayOfWeek(s) {
		s = strings.TrimLeft(s[4:], " ")
	} else if s[0] == '*' || s[0] == '.' { // Cisco: a clock that was never set, or is not synchronised
		s = s[1:]
	}
	if s == "" {
		return stamp{}, "", false
	}
	var d date
	if isDigit(s[0]) {
		if at, rest, ok := cutEpoch(s); ok {
			return stamp{at: at, common: true}, rest, true
		}
		d, t.isT, s, ok = cutDate(s)
		t.common = d.year != 0
	} else {
		d, s, ok = cutMonthDay(s)
	}
	if !ok {
		return stamp{}, "", false
	}
	c, s, ok := cutClock(s)
	if !ok {
		return stamp{}, "", false
	}
	z, s := cutZone(s)
	if year, rest, ok := cutNumber(strings.TrimPrefix(s, " "), 4, 4); ok && d.year == 0 && year > 1969 && strings.HasPrefix(rest, " ") {
		d.year, s = year, rest
	}
	s, ended := cutEnd(s)
	t.at, ok = p.timeOf(d, c, z)
	return t, s, ok && ended
}

// cutEnd removes the blanks or the colon that end a time.
func cutEnd(s string) (rest string, ok bool) {
	rest = strings.TrimPrefix(s, ":")
	if rest != "" && rest[0] != ' ' {
		return "", false
	}
	return strings.TrimLeft(rest, " "), true
}

// cutMonthDay parses "Nov  3 " and "Nov 3 2026 ".
func cutMonthDay(s string) (d date, rest string, ok bool) {
	if d.month = monthOf(s); d.month == 0 || len(s) < 4 || s[3] != ' ' {
		return date{}, "", false
	}
	d.day, s, ok = cutNumber(strings.TrimLeft(s[4:], " "), 1, 2)
	if !ok || !strings.HasPrefix(s, " ") {
		return date{}, "", false
	}
	s = strings.TrimLeft(s, " ")
	if year, rest, ok := cutNumber(s, 4, 4); ok && strings.HasPrefix(rest, " ") {
		d.year, s = year, strings.TrimLeft(rest, " ")
	}
	return d, s, true
}

// cutDate parses "2026-11-03T", "2026-11-03 ", "2026/11/03 ", "3 Nov " and "3 Nov 2026 ".
func cutDate(s string) (d date, isT bool, rest string, ok bool) {
	if len(s) > len("2006-01-02T") && (s[4] == '-' || s[4] == '/') && s[7] == s[4] {
		var y, m, day bool
		d.year, _, y = cutNumber(s[:4], 4, 4)
		d.month, _, m = cutNumber(s[5:7], 2, 2)
		d.day, _, day = cutNumber(s[8:10], 2, 2)
		isT = s[10] == 'T' || s[10] == 't'
		return d, isT, s[11:], y && m && day && (isT || s[10] == ' ')
	}
	d.day, s, ok = cutNumber(s, 1, 2)
	if !ok || !strings.HasPrefix(s, " ") {
		return date{}, false, "", false
	}
	s = s[1:]
	if d.month = monthOf(s); d.month == 0 || len(s) < 4 || s[3] != ' ' {
		return date{}, false, "", false
	}
	s = strings.TrimLeft(s[4:], " ")
	if year, rest, ok := cutNumber(s, 4, 4); ok && strings.HasPrefix(rest, " ") {
		d.year, s = year, strings.TrimLeft(rest, " ")
	}
	return d, false, s, true
}

// cutEpoch parses seconds since 1970 with a fraction.
func cutEpoch(s string) (at time.Time, rest string, ok bool) {
	seconds, rest, ok := cutNumber(s, 10, 10)
	if !ok || len(rest) < 2 || rest[0] != '.' || !isDigit(rest[1]) {
		return time.Time{}, "", false
	}
	nanoseconds, rest := cutFraction(rest[1:])
	if rest != "" && rest[0] != ' ' {
		return time.Time{}, "", false
	}
	return time.Unix(int64(seconds), int64(nanoseconds)).UTC(), strings.TrimPrefix(rest, " "), true
}

// timeOf returns the time that a line means; it is false if there is no such day. A date without a year is in the newest year in which it
// is before tomorrow: a line of 31 December that is read on 1 January is from last year, and one whose clock is a little fast is not from
// a year ago.
func (p *settings) timeOf(d date, c clock, z zone) (time.Time, bool) {
	if d.month < 1 || d.month > 12 || d.day < 1 {
		return time.Time{}, false
	}
	if d.year != 0 {
		return p.instant(d, c, z), d.day <= daysIn(d.year, d.month)
	}
	limit := p.now.Add(24 * time.Hour).In(p.zone)
	newest := limit.Year()
	for year := newest; year > newest-maxYearsBack; year-- {
		if d.year = year; d.day > daysIn(year, d.month) {
			continue
		}
		if at := p.instant(d, c, z); !at.After(limit) {
			return at, true
		}
	}
	return time.Time{}, false
}

func (p *settings) instant(d date, c clock, z zone) time.Time {
	in := func(l *time.Location) time.Time {
		return time.Date(d.year, time.Month(d.month), d.day, c.hour, c.minute, c.second, c.nanosecond, l)
	}
	if !z.known {
		return in(p.zone)
	}
	if z.name != "" {
		local := in(p.zone)
		if name, _ := local.Zone(); name == z.name {
			return local
		}
	}
	return in(time.UTC).Add(-z.offset)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// monthOf returns the month whose English abbreviation s begins with, in any case, 0 if there is none.
func monthOf(s string) int {
	return (indexOfName("janfebmaraprmayjunjulaugsepoctnovdec", s) + 3) / 3
}

// isDayOfWeek reports whether s begins with the English abbreviation of a day, and a blank.
func isDayOfWeek(s string) bool {
	return indexOfName("montuewedthufrisatsun", s) >= 0 && len(s) > 3 && s[3] == ' '
}

// indexOfName returns where the first three letters of s are in names, which are of three lower-case letters each, -3 if they are not.
func indexOfName(names, s string) int {
	if len(s) < 3 {
		return -3
	}
	a, b, c := s[0]|0x20, s[1]|0x20, s[2]|0x20
	for i := 0; i < len(names); i += 3 {
		if names[i] == a && names[i+1] == b && names[i+2] == c {
			return i
		}
	}
	return -3
}
