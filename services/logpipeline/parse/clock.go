package parse

import (
	"strings"
	"time"
)

// clock is a time of day as it is written. Its second may be 60, which is the first of the next minute.
type clock struct {
	hour, minute, second, nanosecond int
}

// cutClock parses "15:04:05", also with one digit for the hour, with a fraction after a point or a comma, and with AM or PM after a blank.
func cutClock(s string) (c clock, rest string, ok bool) {
	var h, m, sec bool
	c.hour, s, h = cutNumber(s, 1, 2)
	c.minute, s, m = cutNumber(strings.TrimPrefix(s, ":"), 2, 2)
	c.second, s, sec = cutNumber(strings.TrimPrefix(s, ":"), 2, 2)
	if !h || !m || !sec || c.hour > 23 || c.minute > 59 || c.second > 60 {
		return clock{}, "", false
	}
	if len(s) > 1 && (s[0] == '.' || s[0] == ',') && isDigit(s[1]) {
		c.nanosecond, s = cutFraction(s[1:])
	}
	if len(s) >= 3 && (s[:3] == " AM" || s[:3] == " PM") && (len(s) == 3 || s[3] == ' ') {
		if c.hour > 12 || c.hour == 0 {
			return clock{}, "", false
		}
		c.hour %= 12
		if s[1] == 'P' {
			c.hour += 12
		}
		s = s[3:]
	}
	return c, s, true
}

// cutFraction parses the digits of a fraction as nanoseconds. Digits beyond the ninth are dropped.
func cutFraction(s string) (nanoseconds int, rest string) {
	unit := 100_000_000
	i := 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		nanoseconds += unit * int(s[i]-'0')
		unit /= 10
	}
	return nanoseconds, s[i:]
}

// cutNumber parses a decimal number of least to most digits, which no further digit follows.
func cutNumber(s string, least, most int) (n int, rest string, ok bool) {
	i := 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		if i == most {
			return 0, "", false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, s[i:], i >= least
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// A zone is what a line says of its time zone: nothing, or an offset.
type zone struct {
	known  bool
	offset time.Duration // east of Greenwich
	name   string        // if it is written as one
}

// cutZone parses what follows a time of day: "Z", "+02:00", "+0200" or "+02", or after a blank one of them or a name such as "CEST". It is
// followed by a blank, a colon or the end. Without a zone, rest is s.
func cutZone(s string) (z zone, rest string) {
	word, blank := s, false
	if strings.HasPrefix(s, " ") {
		word, blank = s[1:], true
	}
	if !blank && (strings.HasPrefix(word, "Z") || strings.HasPrefix(word, "z")) {
		return zone{known: true}, word[1:]
	}
	if word != "" && (word[0] == '+' || word[0] == '-') {
		if offset, rest, ok := cutOffset(word[1:]); ok {
			if word[0] == '-' {
				offset = -offset
			}
			return zone{known: true, offset: offset}, rest
		}
		return zone{}, s
	}
	end := 0
	for end < len(word) && end <= maxZoneName && word[end] >= 'A' && word[end] <= 'Z' {
		end++
	}
	hours, ok := zoneHours[word[:min(end, len(word))]]
	if !blank || !ok || end < len(word) && word[end] != ' ' && word[end] != ':' {
		return zone{}, s
	}
	return zone{known: true, offset: time.Duration(hours * float64(time.Hour)), name: word[:end]}, word[end:]
}

func cutOffset(s string) (offset time.Duration, rest string, ok bool) {
	end := 0
	for end < len(s) && end < len("02:00") && (isDigit(s[end]) || end == 2 && s[end] == ':') {
		end++
	}
	if end < len(s) && s[end] != ' ' && s[end] != ':' {
		return 0, "", false
	}
	digits := strings.Replace(s[:end], ":", "", 1)
	if len(digits) == 2 {
		digits += "00"
	}
	n, _, ok := cutNumber(digits, 4, 4)
	if !ok || n/100 > 15 || n%100 > 59 {
		return 0, "", false
	}
	return time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute, s[end:], true
}

// maxZoneName is the length of the longest name in zoneHours.
const maxZoneName = 5

// zoneHours are the offsets of the zones that are known by name. If the zone of the parser has the same name, its offset is used.
var zoneHours = map[string]float64{
	"UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "MET": 1, "CEST": 2, "MEST": 2, "SAST": 2, "EET": 2, "EEST": 3,
	"MSK": 3, "IST": 5.5, "SGT": 8, "HKT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5, "AEST": 10, "ACDT": 10.5, "AEDT": 11, "NZST": 12, "NZDT": 13,
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "AST": -4, "ADT": -3,
}
