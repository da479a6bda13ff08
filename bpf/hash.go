package bpf

import (
	"encoding/binary"
	"net/netip"
)

// seeds are the multipliers of the hash. hashAddress is hash_address of src/state.h; hashPrefix and bloomBits are with_length and
// bloom_bits of src/filter.h.
type seeds [4]uint64

func (s seeds) hashAddress(hi, lo uint64) uint64 {
	x := lo*s[0] + hi*s[1]
	x ^= x >> 32
	x *= s[2]
	x ^= x >> 29
	x *= s[3]
	return x ^ x>>32
}

// hashPrefix returns the hash of a masked prefix.
func (s seeds) hashPrefix(p netip.Prefix) uint64 {
	a := kernelAddr(p.Addr())
	return s.hashAddress(a.Hi, a.Lo) ^ uint64(p.Bits()+1)*0x9e3779b97f4a7c15
}

func bloomBits(hash uint64) uint64 {
	return 1<<(hash&63) | 1<<(hash>>6&63) | 1<<(hash>>12&63)
}

// kernelAddr returns the address as the kernel's struct addr.
func kernelAddr(a netip.Addr) programAddr {
	b := a.As16()
	return programAddr{Hi: binary.NativeEndian.Uint64(b[:8]), Lo: binary.NativeEndian.Uint64(b[8:])}
}

func fromKernelAddr(a programAddr) netip.Addr {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], a.Hi)
	binary.NativeEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// masks6 returns the netmask of each prefix length up to 128; the others are 0.
func masks6() (masks [256][2]uint64) {
	ones := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	for bits := range 129 {
		mask := kernelAddr(netip.PrefixFrom(ones, bits).Masked().Addr())
		masks[bits] = [2]uint64{mask.Hi, mask.Lo}
	}
	return masks
}
