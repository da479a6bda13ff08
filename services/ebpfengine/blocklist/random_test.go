package blocklist_test

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// began is when the tests of the planner play.
var began = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// dice makes random lists in which things meet: addresses are near each other, and prefixes near addresses.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 7))} }

func (d dice) addr() netip.Addr {
	if d.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{byte(10 + d.IntN(2)), 0, byte(d.IntN(2)), byte(d.IntN(256))})
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	b[7], b[15] = byte(d.IntN(2)), byte(d.IntN(256))
	return netip.AddrFrom16(b)
}

// prefix covers addr as often as not, and everything now and then.
func (d dice) prefix(addr netip.Addr) netip.Prefix {
	if d.IntN(2) == 0 {
		addr = d.addr()
	}
	bits := addr.BitLen()
	switch d.IntN(4) {
	case 0:
		bits -= d.IntN(8)
	case 1:
		bits = d.IntN(addr.BitLen() + 1)
	case 2:
		if d.IntN(4) == 0 {
			bits = 0
		}
	}
	p, _ := addr.Prefix(bits)
	return p
}

func (d dice) block(addr netip.Addr) bus.Block {
	sources := []string{bus.Operator, bus.ContainerGuard}
	return bus.Block{
		Prefix: d.prefix(addr), Source: sources[d.IntN(2)], Created: began.Add(time.Duration(d.IntN(600)) * time.Second),
		Expires: began.Add(time.Hour + time.Duration(d.IntN(600))*time.Second),
	}
}

func (d dice) lifelines() []blocklist.ProtectedAddress {
	list := blocklist.Constant()
	kinds := []string{blocklist.OwnAddress, blocklist.Gateway, blocklist.DNSServer, blocklist.SSHPeer, blocklist.BusPeer}
	for range 1 + d.IntN(8) {
		addr := d.addr()
		list = append(list, blocklist.ProtectedAddress{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Kind: kinds[d.IntN(len(kinds))]})
	}
	list, _ = blocklist.Tidy(list)
	return list
}

// list is a random list of blocks near a random lifeline, by the bucket and by two files.
func (d dice) list(lifelines []blocklist.ProtectedAddress) (blocks []bus.Block, files [2][]netip.Prefix) {
	near := func() netip.Addr { return lifelines[d.IntN(len(lifelines))].Prefix.Addr() }
	taken := map[netip.Prefix]bool{}
	for range d.IntN(8) {
		if b := d.block(near()); !taken[b.Prefix] {
			taken[b.Prefix] = true
			blocks = append(blocks, b)
		}
	}
	for i := range files {
		for range d.IntN(8) {
			files[i] = append(files[i], d.prefix(near()))
		}
	}
	if d.IntN(4) == 0 {
		blocks = append(blocks, always("0.0.0.0/0"), always("::/0"))
	}
	return blocks, files
}

func always(prefix string) bus.Block {
	return bus.Block{Prefix: netip.MustParsePrefix(prefix), Source: bus.Operator, Created: began, Expires: began.Add(time.Hour)}
}
