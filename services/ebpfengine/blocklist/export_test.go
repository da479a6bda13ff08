package blocklist

import "net/netip"

// Collapse collapses prefixes of one file.
func Collapse(prefixes []netip.Prefix) []netip.Prefix {
	list := make([]ranked, len(prefixes))
	for i, p := range prefixes {
		list[i] = ranked{Prefix: p}
	}
	var out []netip.Prefix
	for _, p := range collapse(list) {
		out = append(out, p.Prefix)
	}
	return out
}
