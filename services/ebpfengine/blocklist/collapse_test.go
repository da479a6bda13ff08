package blocklist_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

func TestCollapse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"10.0.0.1/32", "10.0.0.0/32"}, []string{"10.0.0.0/31"}},
		{[]string{"10.0.0.1/32", "10.0.0.2/32"}, []string{"10.0.0.1/32", "10.0.0.2/32"}},
		{[]string{"10.0.0.0/8", "10.1.2.3/32", "10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{[]string{"10.0.0.3/32", "10.0.0.2/32", "10.0.0.0/31", "10.0.0.4/30"}, []string{"10.0.0.0/29"}},
		{[]string{"0.0.0.0/1", "128.0.0.0/1"}, []string{"0.0.0.0/0"}},
		{[]string{"0.0.0.0/0", "::/0", "255.255.255.255/32"}, []string{"0.0.0.0/0", "::/0"}},
		{[]string{"2001:db8::/33", "2001:db8:8000::/33", "255.0.0.0/8"}, []string{"255.0.0.0/8", "2001:db8::/32"}},
		{[]string{"255.255.255.255/32", "::/128"}, []string{"255.255.255.255/32", "::/128"}},
	} {
		require.Equal(t, c.want, texts(blocklist.Collapse(prefixes(c.in...))), "%v", c.in)
	}
}

// Collapsing keeps the same addresses, in the fewest prefixes: checked for every address of a small space.
func TestCollapseKeepsEveryAddress(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var list []netip.Prefix
		for range random.IntN(12) {
			bits := 24 + random.IntN(9)
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(256))})
			list = append(list, netip.PrefixFrom(addr, bits).Masked())
		}
		var want, got [256]bool
		for _, p := range list {
			mark(&want, p)
		}
		short := blocklist.Collapse(list)
		for _, p := range short {
			mark(&got, p)
		}
		require.Equal(t, want, got)
		require.Len(t, short, fewest(want, 0, 256))
	}
}

func mark(set *[256]bool, p netip.Prefix) {
	first := int(p.Addr().As4()[3])
	for i := range 1 << (32 - p.Bits()) {
		set[first+i] = true
	}
}

// fewest counts the prefixes that set needs, by halves.
func fewest(set [256]bool, from, to int) int {
	all, none := true, true
	for _, in := range set[from:to] {
		all, none = all && in, none && !in
	}
	if none {
		return 0
	}
	if all {
		return 1
	}
	middle := (from + to) / 2
	return fewest(set, from, middle) + fewest(set, middle, to)
}
