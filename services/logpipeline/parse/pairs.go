package parse

import (
	"strconv"
	"strings"
)

// Bounds of a text of pairs: what is behind them stays in the message.
const (
	maxPairs = 256
	maxKey   = 64
)

// A pair is one key and its value. isQuoted is set if the value was written in quotes.
type pair struct {
	key, value string
	isQuoted   bool
}

// cutPair splits `key=value rest` or `key="value" rest`. In quotes, a backslash escapes.
func cutPair(s string) (p pair, rest string, ok bool) {
	end := strings.IndexByte(s[:min(len(s), maxKey+1)], '=')
	if end <= 0 || !isKey(s[:end]) {
		return pair{}, s, false
	}
	p.key, s = s[:end], s[end+1:]
	if strings.HasPrefix(s, `"`) {
		if p.value, rest, ok = cutQuoted(s[1:]); ok && (rest == "" || rest[0] == ' ' || rest[0] == ',') {
			p.value, p.isQuoted = unescape(p.value), true
			return p, rest, true
		}
		return pair{}, s, false
	}
	p.value, rest, _ = strings.Cut(s, " ")
	return p, rest, true
}

func isKey(s string) bool {
	for i := range len(s) {
		if !isKeyByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isKeyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || strings.IndexByte("_.-/@:", c) >= 0
}

// cutPairs returns the pairs of s, between which are blanks. whole reports whether s has nothing else; words that are no pair are left out.
func cutPairs(s string) (pairs []pair, whole bool) {
	whole = true
	for {
		s = strings.TrimLeft(s, " ")
		if s == "" || len(pairs) == maxPairs {
			return pairs, whole
		}
		p, rest, ok := cutPair(s)
		if !ok {
			whole = false
			_, rest, _ = strings.Cut(s, " ")
		} else {
			pairs = append(pairs, p)
		}
		s = rest
	}
}

// setPairs sets a field for each pair. The first of a key counts: what comes behind a value may be in it.
func (e *Event) setPairs(pairs []pair) {
	for _, p := range pairs {
		if e.has(p.key) || p.key == "raw" {
			continue
		}
		if n, err := strconv.ParseInt(p.value, 10, 64); err == nil && !p.isQuoted && strconv.FormatInt(n, 10) == p.value {
			e.setInt(p.key, n)
			continue
		}
		e.set(p.key, p.value)
	}
}

// valueOf returns the value of the first pair with one of keys, and whether all pairs with that key have it.
func valueOf(pairs []pair, keys ...string) (value string, agreed bool) {
	for _, key := range keys {
		found := false
		for _, p := range pairs {
			switch {
			case p.key != key || p.value == "":
			case found && p.value != value:
				return value, false
			default:
				value, found = p.value, true
			}
		}
		if found {
			return value, true
		}
	}
	return "", false
}

// setEndpoints sets the two ends of a connection from the values of keys. An address that is given twice and differently is none.
func (e *Event) setEndpoints(pairs []pair, src, srcPort, dst, dstPort []string) {
	if value, agreed := valueOf(pairs, src...); agreed {
		e.setSource(value)
	}
	if port, ok := agreedPort(pairs, srcPort); ok {
		e.setPort(port)
	}
	if value, agreed := valueOf(pairs, dst...); agreed {
		e.set("dst_ip", value)
	}
	if port, ok := agreedPort(pairs, dstPort); ok {
		e.setInt("dst_port", int64(port))
	}
}

func agreedPort(pairs []pair, keys []string) (uint16, bool) {
	value, agreed := valueOf(pairs, keys...)
	port, ok := parsePort(value)
	return port, ok && agreed
}
