package blocklist

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// The widest prefixes a feed may hold. A wider one is a mistake in the feed more likely than a wish; a person may still
// write it into the bucket. 224.0.0.0/3 is the widest that published lists of bogons use, a /12 the largest block of IPv6
// that a registry hands out.
const (
	widest4 = 3
	widest6 = 12
)

// Why a line is not used. None of them repeats the line: a feed may be a link to a file that is nobody's business.
var (
	errNoAddress = errors.New("no address or prefix")
	errZone      = errors.New("a zone is for link-local addresses of one machine")
	errWide      = errors.New("prefix is too wide for a feed: at least /3 for IPv4, /12 for IPv6")
	errRange     = errors.New("the range does not run upwards within one family")
	errPorts     = errors.New("an entry for ports or protocols would block everything else too")
	errExcept    = errors.New("an exception (nomatch) would be blocked")
	errCommand   = errors.New("only create and add of ipset's format mean something here")
	errLong      = errors.New("line is too long")
)

// lineOf reads one line of a feed: one address, prefix or range, alone or as the first column of CSV, or an "add" of
// ipset-save. It appends what the line blocks to into; nothing for an empty line, a comment, or a command of ipset without
// an entry.
func lineOf(line string, into []netip.Prefix) ([]netip.Prefix, error) {
	if at := strings.IndexAny(line, "#;"); at >= 0 {
		line = line[:at]
	}
	line = strings.TrimSpace(line)
	if line == "" {
		return into, nil
	}
	first, rest := column(line)
	if rest.sep == ' ' {
		switch {
		case first == "add":
			return ipsetAdd(rest.text, into)
		case isSilent(first):
			return into, nil
		case startsWithAddress(rest.text):
			next, _ := column(rest.text)
			return rangeOf(first, next, into)
		}
	}
	if isSilent(first) {
		return into, nil
	}
	return entryOf(first, into)
}

// isSilent recognises ipset's commands that say nothing about entries.
func isSilent(word string) bool { return word == "create" || word == "flush" || word == "COMMIT" }

// tail is what follows a column, and what stood between: ' ' for blanks, ',' for a comma.
type tail struct {
	text string
	sep  byte
}

// column cuts off the first column: up to a comma, blanks or a bar, without quotes.
func column(line string) (string, tail) {
	at := strings.IndexAny(line, ", \t|")
	if at < 0 {
		return strings.Trim(line, `"'`), tail{}
	}
	sep := line[at]
	if sep == '\t' {
		sep = ' '
	}
	return strings.Trim(line[:at], `"'`), tail{text: strings.TrimLeft(line[at+1:], " \t"), sep: sep}
}

// startsWithAddress tells lists of the form "from to …" apart from an address and words about it.
func startsWithAddress(text string) bool {
	word, _ := column(text)
	_, err := netip.ParseAddr(word)
	return err == nil
}

// ipsetAdd reads what follows "add": the set's name, the entry and options. A timeout is not heeded: the feed is what the
// file says now.
func ipsetAdd(text string, into []netip.Prefix) ([]netip.Prefix, error) {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return into, errNoAddress
	}
	if slices.Contains(fields[2:], "nomatch") {
		return into, errExcept
	}
	if strings.ContainsRune(fields[1], ',') {
		return into, errPorts
	}
	return entryOf(fields[1], into)
}

// entryOf reads an address, a prefix or a range with a hyphen.
func entryOf(text string, into []netip.Prefix) ([]netip.Prefix, error) {
	if from, to, isRange := strings.Cut(text, "-"); isRange {
		return rangeOf(from, to, into)
	}
	p, err := prefixOf(text)
	if err != nil {
		if text == "del" || text == "destroy" || text == "swap" {
			err = errCommand
		}
		return into, err
	}
	return appendChecked(into, p)
}

func appendChecked(into []netip.Prefix, more ...netip.Prefix) ([]netip.Prefix, error) {
	for _, p := range more {
		if p.Addr().Is4() && p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6 {
			return into, errWide
		}
	}
	return append(into, more...), nil
}

// prefixOf returns text in the one form the kernel has for it; see bus.BlockPrefix, which is the same with better words
// and a third of the speed.
func prefixOf(text string) (netip.Prefix, error) {
	if strings.IndexByte(text, '/') < 0 {
		addr, err := addrOf(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errNoAddress
	}
	return canonical(p), nil
}

func addrOf(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, errNoAddress
	}
	if addr.Zone() != "" {
		return netip.Addr{}, errZone
	}
	return addr.Unmap(), nil
}

// canonical clears the host bits and turns IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2) into IPv4.
func canonical(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked()
}

// rangeOf splits from-to into prefixes, at most 2 × 128.
func rangeOf(from, to string, into []netip.Prefix) ([]netip.Prefix, error) {
	low, err := addrOf(from)
	if err != nil {
		return into, err
	}
	high, err := addrOf(to)
	if err != nil {
		return into, err
	}
	if low.BitLen() != high.BitLen() || high.Less(low) {
		return into, errRange
	}
	return appendChecked(into, spanned(low, high)...)
}
