package blocklist

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/bus"
)

// The reasons why a line cannot be used. None repeats the line: a feed may be a symbolic link to a secret file.
var (
	errNoAddress = errors.New("not an address or prefix")
	errZone      = errors.New("an address with a zone is valid on one machine only")
	errWide      = errors.New("prefix is too wide for a feed: at least /8 for IPv4, /19 for IPv6")
	errRange     = errors.New("a range must go up and stay within IPv4 or IPv6")
	errPorts     = errors.New("an entry with ports or protocols would block the whole address")
	errExcept    = errors.New("exceptions (nomatch) are not supported")
	errCommand   = errors.New("only create and add of ipset's format are supported")
	errLong      = errors.New("line is too long")
	errHostBits  = errors.New("prefix has bits beyond its length") // the network is used
)

// parseLine parses one line of a feed: one address, prefix or range, alone or as the first column of CSV, or an "add" of
// ipset-save. It appends the line's prefixes to into; none for an empty line, a comment, or a command of ipset without an entry.
func parseLine(line string, into []netip.Prefix) ([]netip.Prefix, error) {
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
			return parseIPSetAdd(rest.text, into)
		case isIgnored(first):
			return into, nil
		case startsWithAddress(rest.text):
			next, _ := column(rest.text)
			return parseRange(first, next, into)
		}
	}
	if isIgnored(first) {
		return into, nil
	}
	return parseEntry(first, into)
}

// isIgnored reports a command of ipset that is not about entries.
func isIgnored(word string) bool { return word == "create" || word == "flush" || word == "COMMIT" }

// tail is the text after a column and the separator before it: ' ' for blanks, ',' for a comma.
type tail struct {
	text string
	sep  byte
}

// column returns the first column, up to a comma, blank or bar, without quotes, and the rest.
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

// startsWithAddress tells lists of the form "from to …" from an address with a comment behind it.
func startsWithAddress(text string) bool {
	word, _ := column(text)
	_, err := netip.ParseAddr(word)
	return err == nil
}

// parseIPSetAdd parses the rest of an "add": the set's name, the entry and options. A timeout is ignored: an entry holds as long
// as the file lists it.
func parseIPSetAdd(text string, into []netip.Prefix) ([]netip.Prefix, error) {
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
	return parseEntry(fields[1], into)
}

// parseEntry parses an address, a prefix or a range with a hyphen.
func parseEntry(text string, into []netip.Prefix) ([]netip.Prefix, error) {
	if from, to, isRange := strings.Cut(text, "-"); isRange {
		return parseRange(from, to, into)
	}
	p, err := parsePrefix(text)
	if err != nil {
		if text == "del" || text == "destroy" || text == "swap" {
			err = errCommand
		}
		return into, err
	}
	into, err = appendChecked(into, p)
	if err == nil && hasHostBits(text, p) {
		err = errHostBits
	}
	return into, err
}

// hasHostBits reports whether text, which was parsed as p, has bits that p has not.
func hasHostBits(text string, p netip.Prefix) bool {
	written, err := netip.ParsePrefix(text)
	return err == nil && written.Addr().Unmap() != p.Addr()
}

func appendChecked(into []netip.Prefix, more ...netip.Prefix) ([]netip.Prefix, error) {
	for _, p := range more {
		if bus.CheckBlockWidth(p) != nil {
			return into, errWide
		}
	}
	return append(into, more...), nil
}

// parsePrefix parses an address or prefix into the one form that the kernel has for it. bus.BlockPrefix does the same with
// better errors at a third of the speed.
func parsePrefix(text string) (netip.Prefix, error) {
	if strings.IndexByte(text, '/') < 0 {
		addr, err := parseAddr(text)
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

func parseAddr(text string) (netip.Addr, error) {
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

// parseRange splits the range from-to into prefixes, at most 2 × 128.
func parseRange(from, to string, into []netip.Prefix) ([]netip.Prefix, error) {
	low, err := parseAddr(from)
	if err != nil {
		return into, err
	}
	high, err := parseAddr(to)
	if err != nil {
		return into, err
	}
	if low.BitLen() != high.BitLen() || high.Less(low) {
		return into, errRange
	}
	return appendChecked(into, rangePrefixes(low, high)...)
}
