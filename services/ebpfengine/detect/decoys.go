package detect

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

const (
	// decoySpan is the time within which decoys begin, and decoyNeighbours how many of the scans next to a scan are compared with it.
	decoySpan       = 3 * time.Second
	decoyNeighbours = 8
)

// markDecoys marks the running port scans that others do in the same way at the same time,
// as nmap -D does: one of the addresses is the scanner's, the others may be forged. A source
// that completed a handshake is not forged.
func markDecoys(active []*scan) {
	type key struct {
		host   netip.Addr
		method method
	}
	groups := map[key][]*scan{}
	for _, sc := range active {
		if sc.shape == vertical {
			k := key{sc.host, sc.method}
			groups[k] = append(groups[k], sc)
		}
	}
	for _, group := range groups {
		slices.SortFunc(group, func(a, b *scan) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.actor, b.actor)) })
		for i, a := range group {
			for _, b := range group[i+1 : min(i+1+decoyNeighbours, len(group))] {
				if b.began.Sub(a.began) <= decoySpan && a.ports.resembles(&b.ports) {
					a.mayBeDecoy, b.mayBeDecoy = !a.source.proven, !b.source.proven
				}
			}
		}
	}
}
