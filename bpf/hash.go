package bpf

import (
	"encoding/binary"
	"net/netip"
)

// The functions here say what those of the same name in src/state.h and src/filter.h say.

type seeds [4]uint64

func (s seeds) mix(hi, lo uint64) uint64 {
	x := lo*s[0] + hi*s[1]
	x ^= x >> 32
	x *= s[2]
	x ^= x >> 29
	x *= s[3]
	return x ^ x>>32
}

// prefix returns the hash of a masked prefix, with a length that counts in the address's own bits.
func (s seeds) prefix(p netip.Prefix) uint64 {
	a := wire(p.Addr())
	return s.mix(a.Hi, a.Lo) ^ uint64(p.Bits()+1)*0x9e3779b97f4a7c15
}

func threeBits(hash uint64) uint64 {
	return 1<<(hash&63) | 1<<(hash>>6&63) | 1<<(hash>>12&63)
}

// wire returns the address as the kernel's struct addr.
func wire(a netip.Addr) programAddr {
	b := a.As16()
	return programAddr{Hi: binary.NativeEndian.Uint64(b[:8]), Lo: binary.NativeEndian.Uint64(b[8:])}
}

func fromWire(a programAddr) netip.Addr {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], a.Hi)
	binary.NativeEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// masks6 returns the netmask of each prefix length; those no prefix has are empty.
func masks6() (masks [256][2]uint64) {
	ones := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	for bits := range 129 {
		mask := wire(netip.PrefixFrom(ones, bits).Masked().Addr())
		masks[bits] = [2]uint64{mask.Hi, mask.Lo}
	}
	return masks
}
