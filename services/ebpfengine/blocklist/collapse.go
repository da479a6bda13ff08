package blocklist

import (
	"net/netip"
	"slices"
)

// compare orders prefixes by family, address and then length: a prefix comes before those it covers.
func compare(a, b netip.Prefix) int {
	if order := a.Addr().Compare(b.Addr()); order != 0 { // shorter addresses first
		return order
	}
	return a.Bits() - b.Bits()
}

// rangePrefixes returns the fewest prefixes that are exactly the addresses from low to high, in order. Both are of one family
// and low is not above high.
func rangePrefixes(low, high netip.Addr) []netip.Prefix {
	var found []netip.Prefix
	for {
		p := netip.PrefixFrom(low, low.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(low, p.Bits()-1)
			if wider.Masked().Addr() != low || high.Less(lastOf(wider)) {
				break
			}
			p = wider
		}
		found = append(found, p)
		last := lastOf(p)
		if last == high {
			return found
		}
		low = last.Next()
	}
}

// lastOf returns the highest address of p.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := range bytes {
		switch host := p.Bits() - 8*i; {
		case host <= 0:
			bytes[i] = 0xff
		case host < 8:
			bytes[i] |= 0xff >> host
		}
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// feedPrefix is a prefix of the feeds with the number of the first file that holds it, or a part of it.
type feedPrefix struct {
	netip.Prefix
	file uint16
}

// collapse sorts prefixes, drops those that another covers and joins halves, in place. The result is the fewest prefixes that are
// exactly the same addresses, in the order of compare; each has the lowest file of those it replaces.
func collapse(list []feedPrefix) []feedPrefix {
	slices.SortFunc(list, func(a, b feedPrefix) int {
		if order := compare(a.Prefix, b.Prefix); order != 0 {
			return order
		}
		return int(a.file) - int(b.file)
	})
	kept := list[:0]
	for _, p := range list {
		if n := len(kept); n > 0 && covers(kept[n-1].Prefix, p.Prefix) {
			kept[n-1].file = min(kept[n-1].file, p.file)
			continue
		}
		kept = append(kept, p)
		for len(kept) > 1 && areHalves(kept[len(kept)-2].Prefix, kept[len(kept)-1].Prefix) {
			n := len(kept)
			whole := netip.PrefixFrom(kept[n-2].Addr(), kept[n-2].Bits()-1)
			kept[n-2] = feedPrefix{Prefix: whole, file: min(kept[n-2].file, kept[n-1].file)}
			kept = kept[:n-1]
		}
	}
	return slices.Clip(kept)
}

// covers reports whether every address of inner is one of outer.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// areHalves reports whether a and b, in this order, are the halves of one prefix.
func areHalves(a, b netip.Prefix) bool {
	if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
		return false
	}
	whole := netip.PrefixFrom(a.Addr(), a.Bits()-1)
	return whole.Masked().Addr() == a.Addr() && whole.Contains(b.Addr()) && a.Addr() != b.Addr()
}
