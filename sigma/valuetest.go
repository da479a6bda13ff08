package sigma

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// newValueTest returns the test for an operand after all modifiers.
func newValueTest(mods itemModifiers, o operand) (valueTest, error) {
	switch {
	case mods.timePart != "":
		return newTimeTest(mods, o.number)
	case mods.compareOp != "":
		return compareTest{op: mods.compareOp, number: o.number}, nil
	}
	switch o.kind {
	case regexOperand:
		re, err := compileRegex(o, mods.regexFlags)
		return regexTest{re}, err
	case cidrOperand:
		prefix, err := parseCIDR(o.raw)
		return cidrTest{prefix}, err
	case numberOperand:
		if !mods.keyword {
			return numberTest{number: o.number, text: lower(o.raw)}, nil
		}
	case boolOperand:
		if !mods.keyword {
			return textTest(o.raw), nil
		}
	case patternOperand:
		if !mods.keyword {
			return newPattern(o.pattern, mods.cased), nil
		}
		return newKeywordTest(mods, o)
	}
	if err := o.toPattern("a keyword"); err != nil {
		return nil, err
	}
	return newKeywordTest(mods, o)
}

// newKeywordTest searches anywhere in a value, because keywords are full text
// search.
func newKeywordTest(mods itemModifiers, o operand) (valueTest, error) {
	if len(o.pattern) == 0 {
		return nil, fmt.Errorf("an empty keyword would match every event")
	}
	if !o.widened {
		if err := o.widen("contains"); err != nil {
			return nil, err
		}
	}
	return newPattern(o.pattern, mods.cased), nil
}

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
	if n, ok := v.asNumber(); ok && n.satisfies("eq", t.number) {
		return true
	}
	return v.lower() == t.text
}

// textTest compares booleans, ignoring case.
type textTest string

func (t textTest) test(v *value) bool { return v.lower() == string(t) }

type regexTest struct{ re *regexp.Regexp }

func (t regexTest) test(v *value) bool { return t.re.MatchString(v.text) }

// cidrTest reads IPv4 addresses mapped into IPv6 ("::ffff:10.0.0.1") as IPv4.
type cidrTest struct{ prefix netip.Prefix }

func (t cidrTest) test(v *value) bool {
	addr, err := netip.ParseAddr(v.text)
	return err == nil && t.prefix.Contains(addr.Unmap().WithZone(""))
}

func parseCIDR(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is no network such as 10.0.0.0/8 or 2001:db8::/32", s)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return prefix, fmt.Errorf("%q is no network such as 10.0.0.0/8 or 2001:db8::/32", s)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits outside of its mask: write %s", s, prefix.Masked())
	}
	return prefix, nil
}

type compareTest struct {
	op     string // lt, lte, gt or gte
	number number
}

func (t compareTest) test(v *value) bool {
	n, ok := v.asNumber()
	return ok && n.satisfies(t.op, t.number)
}

// timeRanges are the allowed values of the time modifiers. The specification
// allows 52 weeks, but a year of ISO 8601 may have 53.
var timeRanges = map[string][2]int64{
	"minute": {0, 59}, "hour": {0, 23}, "day": {1, 31}, "week": {1, 53}, "month": {1, 12}, "year": {0, 9999},
}

func newTimeTest(mods itemModifiers, n number) (valueTest, error) {
	limits := timeRanges[mods.timePart]
	if !n.isInt || n.integer < limits[0] || n.integer > limits[1] {
		return nil, fmt.Errorf("%s must be a whole number from %d to %d", mods.timePart, limits[0], limits[1])
	}
	return timeTest{part: mods.timePart, op: mods.compareOp, number: n}, nil
}

// timeTest compares one part of a time in its own zone.
type timeTest struct {
	part   string // minute, hour, day, week, month or year
	op     string // lt, lte, gt, gte; empty means equal
	number number
}

func (t timeTest) test(v *value) bool {
	at, ok := parseTime(v.text)
	if !ok {
		return false
	}
	return intNumber(int64(timePart(at, t.part))).satisfies(cmp.Or(t.op, "eq"), t.number)
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

// timeLayouts are the formats of times in events that Sigma rules are written for.
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
