package sigma

import (
	"net/netip"
	"regexp"
	"strings"
	"time"
)

func (p *pattern) test(v *value) bool {
	if p.cased {
		return p.matches(v.text)
	}
	return p.matches(v.lower())
}

// numberTest compares as numbers, and as the text the rule has: 4688 equals
// "4688", 1.10 equals "1.10", 0x10 equals "0x10" and 16.
type numberTest struct {
	number number
	text   string // lower case
}

func (t numberTest) test(v *value) bool {
	if n, ok := v.asNumber(); ok && n.equal(t.number) {
		return true
	}
	return v.lower() == t.text
}

// textTest compares booleans and the like, without case.
type textTest string

func (t textTest) test(v *value) bool { return v.lower() == string(t) }

type regexTest struct{ re *regexp.Regexp }

func (t regexTest) test(v *value) bool { return t.re.MatchString(v.text) }

// cidrTest takes IPv4 addresses written as IPv6 ("::ffff:10.0.0.1") for IPv4.
type cidrTest struct{ prefix netip.Prefix }

func (t cidrTest) test(v *value) bool {
	addr, err := netip.ParseAddr(v.text)
	return err == nil && t.prefix.Contains(addr.Unmap().WithZone(""))
}

type compareTest struct {
	op     string // lt, lte, gt or gte
	number number
}

func (t compareTest) test(v *value) bool {
	n, ok := v.asNumber()
	return ok && n.compare(t.op, t.number)
}

// timeTest compares one part of a time, in the zone it is written in.
type timeTest struct {
	part   string // minute, hour, day, week, month or year
	op     string // empty is equal
	number number
}

func (t timeTest) test(v *value) bool {
	at, ok := parseTime(v.text)
	if !ok {
		return false
	}
	n := intNumber(int64(timePart(at, t.part)))
	if t.op == "" {
		return n.equal(t.number)
	}
	return n.compare(t.op, t.number)
}

func timePart(at time.Time, part string) int {
	switch part {
	case "minute":
		return at.Minute()
	case "hour":
		return at.Hour()
	case "day":
		return at.Day()
	case "week":
		_, week := at.ISOWeek()
		return week
	case "month":
		return int(at.Month())
	default:
		return at.Year()
	}
}

// timeLayouts are the spellings of times that sources of Sigma rules use.
var timeLayouts = [...]string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006/01/02 15:04:05",
	"02/Jan/2006:15:04:05 -0700",
	time.DateOnly,
}

func parseTime(s string) (time.Time, bool) {
	if len(s) < len(time.DateOnly) || len(s) > 64 {
		return time.Time{}, false
	}
	for _, layout := range timeLayouts {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func refComparison(kind refKind) func(a, b string) bool {
	switch kind {
	case refContains:
		return strings.Contains
	case refPrefix:
		return strings.HasPrefix
	case refSuffix:
		return strings.HasSuffix
	default:
		return func(a, b string) bool { return a == b }
	}
}
