package blocklist_test

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// began is the time at the start of the tests of the plan.
var began = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// generator makes random lists whose parts overlap: addresses are near each other, and prefixes near addresses.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 7))} }

func (g generator) addr() netip.Addr {
	if g.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(10 + g.IntN(2)), 0, byte(g.IntN(2)), byte(g.IntN(256))})
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	b[7], b[15] = byte(g.IntN(2)), byte(g.IntN(256))
	return netip.AddrFrom16(b)
}

// prefix returns a prefix that covers addr half of the time, and everything now and then.
func (g generator) prefix(addr netip.Addr) netip.Prefix {
	if g.IntN(2) == 0 {
		addr = g.addr()
	}
	bits := addr.BitLen()
	switch g.IntN(4) {
	case 0:
		bits -= g.IntN(8)
	case 1:
		bits = g.IntN(addr.BitLen() + 1)
	case 2:
		if g.IntN(4) == 0 {
			bits = 0
		}
	}
	p, _ := addr.Prefix(bits)
	return p
}

func (g generator) block(addr netip.Addr) bus.Block {
	sources := []string{bus.Operator, bus.ContainerGuard}
	return bus.Block{
		Prefix: g.prefix(addr), Source: sources[g.IntN(2)], Created: began.Add(time.Duration(g.IntN(600)) * time.Second),
		Expires: began.Add(time.Hour + time.Duration(g.IntN(600))*time.Second),
	}
}

func (g generator) protected() []blocklist.ProtectedAddress {
	list := blocklist.AlwaysProtected()
	kinds := []string{blocklist.OwnAddress, blocklist.Gateway, blocklist.DNSServer, blocklist.SSHPeer, blocklist.BusPeer}
	for range 1 + g.IntN(8) {
		addr := g.addr()
		list = append(list, blocklist.ProtectedAddress{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Kind: kinds[g.IntN(len(kinds))]})
	}
	list, _ = blocklist.FitAllowList(list)
	return list
}

// list returns random blocks near random protected addresses, of the bucket and of two files.
func (g generator) list(protected []blocklist.ProtectedAddress) (blocks []bus.Block, files [2][]netip.Prefix) {
	near := func() netip.Addr { return protected[g.IntN(len(protected))].Prefix.Addr() }
	taken := map[netip.Prefix]bool{}
	for range g.IntN(8) {
		if b := g.block(near()); !taken[b.Prefix] {
			taken[b.Prefix] = true
			blocks = append(blocks, b)
		}
	}
	for i := range files {
		for range g.IntN(8) {
			files[i] = append(files[i], g.prefix(near()))
		}
	}
	if g.IntN(4) == 0 {
		blocks = append(blocks, always("0.0.0.0/0"), always("::/0"))
	}
	return blocks, files
}

func always(prefix string) bus.Block {
	return bus.Block{Prefix: netip.MustParsePrefix(prefix), Source: bus.Operator, Created: began, Expires: began.Add(time.Hour)}
}
