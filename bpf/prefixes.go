package bpf

import (
	"cmp"
	"fmt"
	"math"
	mathbits "math/bits"
	"net/netip"
	"slices"
)

// normal returns p masked, IPv4-mapped ones as IPv4.
func normal(p netip.Prefix) (netip.Prefix, error) {
	addr, bits := p.Addr(), p.Bits()
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	if !p.IsValid() || addr.Zone() != "" {
		return p, fmt.Errorf("%v is no prefix", p)
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// index is what user space knows about the prefixes in the kernel's lists, so that it can take bits away again: how many
// entries hold each bit of the Bloom filter and of the coarse bitmaps, and each length.
type index struct {
	seed    seeds
	bloom   []uint64
	holders []uint8  // of each bit of bloom; 255 stays
	coarse4 []uint32 // allow list included
	allow4  []uint32
	coarse6 []uint32
	allow6  []uint32
	short6  [2][32]uint32 // of the blocklist, of the allow list
	near4   *near
	near6   *near
	stale   struct{ bloom, near4, near6 span } // what the kernel does not have yet
	lengths map[lengthKey]int
	filter  *programFilter
}

type lengthKey struct {
	v6, allow bool
	bits      int
}

const coarseBits = 1 << 16

// newIndex knows of no prefix, and nothing of what is in the kernel.
func newIndex(f *programFilter) *index {
	x := &index{
		seed: f.Seed, bloom: make([]uint64, f.BloomWords), holders: make([]uint8, f.BloomWords*64),
		coarse4: make([]uint32, coarseBits), allow4: make([]uint32, coarseBits), coarse6: make([]uint32, coarseBits), allow6: make([]uint32, coarseBits),
		near4: &near{}, near6: &near{}, lengths: map[lengthKey]int{}, filter: f,
	}
	x.stale.bloom.end, x.stale.near4.end, x.stale.near6.end = len(x.bloom), coarseBits, coarseBits
	return x
}

// word returns the word of the Bloom filter that p's bits lie in.
func (x *index) word(hash uint64) uint64 { return hash >> 24 & (x.filter.BloomWords - 1) }

// has reports whether the Bloom filter holds p; wrongly at times, but never that it does not.
func (x *index) has(p netip.Prefix) bool {
	h := x.seed.prefix(p)
	return x.bloom[x.word(h)]&threeBits(h) == threeBits(h)
}

// add counts p in; it is in force once the filter and the Bloom filter are stored.
func (x *index) add(p netip.Prefix, allow bool) { x.count(p, allow, 1) }

// remove counts p out.
func (x *index) remove(p netip.Prefix, allow bool) { x.count(p, allow, -1) }

func (x *index) count(p netip.Prefix, allow bool, delta int) {
	x.countBloom(p, delta)
	x.countCoarse(p, allow, delta)
	x.countLength(lengthKey{p.Addr().Is6(), allow, p.Bits()}, delta)
	total := &x.filter.Count4
	if p.Addr().Is6() {
		total = &x.filter.Count6
	}
	*total += uint32(delta)
}

func (x *index) countBloom(p netip.Prefix, delta int) {
	h := x.seed.prefix(p)
	w := x.word(h)
	for _, bit := range distinct(h&63, h>>6&63, h>>12&63) {
		n := &x.holders[w*64+bit]
		if *n != 255 {
			*n += uint8(delta)
		}
		if *n == 0 {
			x.bloom[w] &^= 1 << bit
		} else {
			x.bloom[w] |= 1 << bit
		}
	}
	x.stale.bloom.touch(int(w))
}

func distinct(bits ...uint64) []uint64 {
	slices.Sort(bits)
	return slices.Compact(bits)
}

// countCoarse: exact addresses are left to the Bloom filter alone.
func (x *index) countCoarse(p netip.Prefix, allow bool, delta int) {
	if p.IsSingleIP() {
		return
	}
	a := wire(p.Addr())
	if p.Addr().Is4() {
		b := p.Addr().As4()
		first := int(b[0])<<8 | int(b[1])
		for i := range 1 << max(0, 16-p.Bits()) {
			at := first + i
			at = at>>8 | at&255<<8
			bump(x.coarse4, &x.filter.Prefix4, at, delta)
			if allow {
				bump(x.allow4, &x.filter.AllowPrefix4, at, delta)
			} else {
				x.filter.Near4[at] = x.near4.count(at, p.Bits(), delta)
				x.stale.near4.touch(at)
			}
		}
		return
	}
	if p.Bits() < 32 {
		x.countShort(p, allow, delta)
		return
	}
	at := int(x.seed.mix(0, a.Hi&0xffffffff)>>40) & (coarseBits - 1)
	bump(x.coarse6, &x.filter.Prefix6, at, delta)
	if allow {
		bump(x.allow6, &x.filter.AllowPrefix6, at, delta)
	} else {
		x.filter.Near6[at] = x.near6.count(at, p.Bits(), delta)
		x.stale.near6.touch(at)
	}
}

// countShort: a prefix of IPv6 shorter than /32 has a bit for each value of the first five bits that it holds.
func (x *index) countShort(p netip.Prefix, allow bool, delta int) {
	holders, bits := &x.short6[0], &x.filter.Short6
	if allow {
		holders, bits = &x.short6[1], &x.filter.AllowShort6
	}
	first := int(p.Addr().As16()[0]) >> 3
	for at := first; at < first+1<<max(0, 5-p.Bits()); at++ {
		holders[at] += uint32(delta)
		if holders[at] == 0 {
			*bits &^= 1 << at
		} else {
			*bits |= 1 << at
		}
	}
}

func bump(holders []uint32, bits *[coarseBits / 64]uint64, at, delta int) {
	holders[at] += uint32(delta)
	if holders[at] == 0 {
		bits[at/64] &^= 1 << (at % 64)
	} else {
		bits[at/64] |= 1 << (at % 64)
	}
}

func (x *index) countLength(k lengthKey, delta int) { x.lengths[k] += delta }

// lengthsOf returns the lengths one list uses, the longest first.
func (x *index) lengthsOf(v6, allow bool) []uint8 {
	var used []uint8
	for k, n := range x.lengths {
		if n > 0 && k.v6 == v6 && k.allow == allow {
			used = append(used, uint8(k.bits))
		}
	}
	slices.SortFunc(used, func(a, b uint8) int { return cmp.Compare(b, a) })
	return used
}

// allowBloom returns the Bloom filter of the allow list alone.
func (x *index) allowBloom(prefixes []netip.Prefix) (bloom [1024]uint64) {
	for _, p := range prefixes {
		h := x.seed.prefix(p)
		bloom[h>>24&1023] |= threeBits(h)
	}
	return bloom
}

// near counts the blocklist's prefixes of each length within each /16, or hashed /32. What is counted of a length is made when
// the length is first used.
type near struct {
	counts [128]*[coarseBits]uint16
	held   [coarseBits][2]uint64 // a bit for each length that is not 0
}

// many is what the kernel's list of lengths holds where there are more than fit.
const many = ^uint32(0)

// count counts a prefix in or out, and returns the lengths that are left as the kernel has them. What 65,535 prefixes hold
// stays.
func (n *near) count(at, bits, delta int) uint32 {
	if n.counts[bits] == nil {
		n.counts[bits] = new([coarseBits]uint16)
	}
	count, held := &n.counts[bits][at], &n.held[at]
	if *count != math.MaxUint16 {
		*count += uint16(delta)
	}
	held[bits/64] &^= 1 << (bits % 64)
	if *count > 0 {
		held[bits/64] |= 1 << (bits % 64)
	}
	return packed(*held)
}

// packed lists lengths, the longest lowest.
func packed(held [2]uint64) (list uint32) {
	if mathbits.OnesCount64(held[0])+mathbits.OnesCount64(held[1]) > 4 {
		return many
	}
	for i, word := range held {
		for ; word != 0; word &= word - 1 {
			list = list<<8 | uint32(i*64+mathbits.TrailingZeros64(word)+1)
		}
	}
	return list
}
