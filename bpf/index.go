package bpf

import (
	"cmp"
	"fmt"
	"math"
	mathbits "math/bits"
	"net/netip"
	"slices"
	"unsafe"
)

// normalize returns p masked, and IPv4-mapped prefixes as IPv4.
func normalize(p netip.Prefix) (netip.Prefix, error) {
	addr, bits := p.Addr(), p.Bits()
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	if !p.IsValid() || addr.Zone() != "" {
		return p, fmt.Errorf("%v is not a valid prefix", p)
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// index counts, for each bit of the Bloom filter and of the coarse bitmaps and for each length, the prefixes in the kernel's lists
// that set it, so that bits can be cleared again. The counts of a bitmap are allocated when it is first used: most lists need few.
type index struct {
	seed         seeds
	bloom        []uint64
	holders      []uint8  // prefixes that set each bit of bloom; 255 stays 255
	coarse4      []uint32 // allow list included
	allow4       []uint32
	coarse32     []uint32 // IPv6 prefixes of /32 to /47
	allow32      []uint32
	coarse48     []uint32 // of /48 and longer
	allow48      []uint32
	short6       [2][32]uint32 // of the blocklist, of the allow list
	netLengths4  *netLengths
	netLengths32 *netLengths
	netLengths48 *netLengths
	stale        span // of bloom, not written to the kernel yet
	lengths      map[lengthKey]int
	filter       *tables
}

type lengthKey struct {
	v6, allow bool
	bits      int
}

const coarseBits = 1 << 16

// newIndex returns an index without prefixes, of which nothing has been written to the kernel.
func newIndex(f *tables) *index {
	x := &index{
		seed: f.seed, bloom: make([]uint64, f.bloomWords), holders: make([]uint8, f.bloomWords*64),
		netLengths4: newNetLengths(), netLengths32: newNetLengths(), netLengths48: newNetLengths(), lengths: map[lengthKey]int{}, filter: f,
	}
	x.stale.end = len(x.bloom)
	return x
}

// bloomWord returns the word of the Bloom filter for a hash.
func (x *index) bloomWord(hash uint64) uint64 { return hash >> 24 & (x.filter.bloomWords - 1) }

// mayContain reports whether the Bloom filter has the bits of p: never false for a prefix in a list, rarely true for another.
func (x *index) mayContain(p netip.Prefix) bool {
	h := x.seed.hashPrefix(p)
	return x.bloom[x.bloomWord(h)]&bloomBits(h) == bloomBits(h)
}

// add counts a prefix that is to be added. Filter.writeIndex writes the change.
func (x *index) add(p netip.Prefix, allow bool) { x.count(p, allow, 1) }

// remove counts a prefix that was removed.
func (x *index) remove(p netip.Prefix, allow bool) { x.count(p, allow, -1) }

func (x *index) count(p netip.Prefix, allow bool, delta int) {
	x.countBloom(p, delta)
	x.countCoarse(p, allow, delta)
	x.lengths[lengthKey{p.Addr().Is6(), allow, p.Bits()}] += delta
	total := &x.filter.count4
	if p.Addr().Is6() {
		total = &x.filter.count6
	}
	*total += uint32(delta)
}

func (x *index) countBloom(p netip.Prefix, delta int) {
	h := x.seed.hashPrefix(p)
	w := x.bloomWord(h)
	bits := []uint64{h & 63, h >> 6 & 63, h >> 12 & 63}
	slices.Sort(bits)
	for _, bit := range slices.Compact(bits) {
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
	x.stale.touch(int(w))
}

// countCoarse counts a prefix in the coarse bitmaps. Single addresses are in the Bloom filter alone.
func (x *index) countCoarse(p netip.Prefix, allow bool, delta int) {
	if p.IsSingleIP() {
		return
	}
	a := kernelAddr(p.Addr())
	if p.Addr().Is4() {
		b := p.Addr().As4()
		first := int(b[0])<<8 | int(b[1])
		for i := range 1 << max(0, 16-p.Bits()) {
			at := first + i
			at = at>>8 | at&255<<8
			countBit(&x.coarse4, &x.filter.prefix4, at, delta)
			if allow {
				countBit(&x.allow4, &x.filter.allowPrefix4, at, delta)
			} else {
				x.netLengths4.count(at, p.Bits(), delta)
			}
		}
		return
	}
	if p.Bits() < 32 {
		x.countShort(p, allow, delta)
		return
	}
	f := x.filter
	if p.Bits() < 48 {
		at := int((a.Hi & 0xffffffff) * x.seed[0] >> 48) // net32 of src/filter.h
		countBit(&x.coarse32, &f.prefix32, at, delta)
		if allow {
			countBit(&x.allow32, &f.allowPrefix32, at, delta)
			return
		}
		x.netLengths32.count(at, p.Bits(), delta)
		return
	}
	at := int((a.Hi & 0xffffffffffff) * x.seed[1] >> 48) // net48
	countBit(&x.coarse48, &f.prefix48, at, delta)
	if allow {
		countBit(&x.allow48, &f.allowPrefix48, at, delta)
		return
	}
	x.netLengths48.count(at, p.Bits(), delta)
}

// countShort counts an IPv6 prefix shorter than /32, which has a bit for each value of the first five address bits that it overlaps.
func (x *index) countShort(p netip.Prefix, allow bool, delta int) {
	holders, bits := &x.short6[0], &x.filter.short6
	if allow {
		holders, bits = &x.short6[1], &x.filter.allowShort6
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

// countBit counts a prefix at a bit and sets or clears the bit.
func countBit(holders *[]uint32, bits *[coarseBits / 64]uint64, at, delta int) {
	if *holders == nil {
		*holders = make([]uint32, coarseBits)
	}
	(*holders)[at] += uint32(delta)
	if (*holders)[at] == 0 {
		bits[at/64] &^= 1 << (at % 64)
	} else {
		bits[at/64] |= 1 << (at % 64)
	}
}

// lengthsOf returns the prefix lengths in use by one list, the longest first.
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
		h := x.seed.hashPrefix(p)
		bloom[h>>24&1023] |= bloomBits(h)
	}
	return bloom
}

// netLengths counts the blocklist's prefixes of each length within each /16, or hashed /32 or /48. The counts of a length are allocated when
// it is first used.
type netLengths struct {
	counts [128]*[coarseBits]uint16
	held   [][2]uint64 // a bit for each length with a prefix; nil before the first
	stale  span        // not written to the kernel yet
}

func newNetLengths() *netLengths { return &netLengths{stale: span{0, coarseBits}} }

// tooManyLengths is TOO_MANY of src/filter.h.
const tooManyLengths = ^uint32(0)

// count counts a prefix. A count of 65,535 stays.
func (n *netLengths) count(at, bits, delta int) {
	if n.held == nil {
		n.held = make([][2]uint64, coarseBits)
	}
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
	n.stale.touch(at)
}

// store writes the lengths that have changed, in the kernel's format, to a table at offset.
func (n *netLengths) store(m memory, offset uintptr) error {
	var part [1024]uint32
	for n.stale.first < n.stale.end {
		some := part[:min(len(part), n.stale.end-n.stale.first)]
		for i := range some {
			some[i] = 0
			if n.held != nil {
				some[i] = packLengths(n.held[n.stale.first+i])
			}
		}
		if _, err := m.WriteAt(sliceBytes(some), int64(offset)+int64(n.stale.first)*int64(unsafe.Sizeof(part[0]))); err != nil {
			return err
		}
		n.stale.first += len(some)
	}
	n.stale = span{}
	return nil
}

// packLengths returns lengths in the kernel's format: bytes of length + 1, the longest in the lowest byte.
func packLengths(held [2]uint64) (list uint32) {
	if mathbits.OnesCount64(held[0])+mathbits.OnesCount64(held[1]) > 4 {
		return tooManyLengths
	}
	for i, word := range held {
		for ; word != 0; word &= word - 1 {
			list = list<<8 | uint32(i*64+mathbits.TrailingZeros64(word)+1)
		}
	}
	return list
}
