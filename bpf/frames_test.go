package bpf_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// The frames of the tests have Ethernet's minimum of 60 bytes.

func synFrame() []byte { return tcpFrame(0x02) }

func ackFrame() []byte { return tcpFrame(0x10) }

func tcpFrame(flags byte) []byte {
	f := ipv4Frame(6, 20)
	l4 := f[34:]
	binary.BigEndian.PutUint16(l4, 40000)
	binary.BigEndian.PutUint16(l4[2:], 443)
	l4[12], l4[13] = 5<<4, flags
	l4[11] = flags >> 4 & 1 // an ACK acknowledges the SYN of sequence number 0
	return f
}

func udpFrame() []byte {
	f := ipv4Frame(17, 8)
	l4 := f[34:]
	binary.BigEndian.PutUint16(l4, 40000)
	binary.BigEndian.PutUint16(l4[2:], 53)
	binary.BigEndian.PutUint16(l4[4:], 8)
	return f
}

// ipv4Frame goes from 10.0.0.1 to 192.0.2.1.
func ipv4Frame(proto byte, payload int) []byte {
	f := make([]byte, max(60, 34+payload))
	f[12] = 8
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(ip[2:], uint16(20+payload))
	copy(ip[12:], []byte{10, 0, 0, 1, 192, 0, 2, 1})
	return f
}

// synFrame6 goes from 2001:db8::1 to 2001:db8::2.
func synFrame6() []byte {
	f := make([]byte, 74)
	f[12], f[13] = 0x86, 0xdd
	ip := f[14:]
	ip[0], ip[5], ip[6], ip[7] = 0x60, 20, 6, 64
	copy(ip[8:], []byte{0x20, 1, 0xd, 0xb8, 15: 1})
	copy(ip[24:], []byte{0x20, 1, 0xd, 0xb8, 15: 2})
	l4 := ip[40:]
	binary.BigEndian.PutUint16(l4, 40000)
	binary.BigEndian.PutUint16(l4[2:], 443)
	l4[12], l4[13] = 5<<4, 2
	return f
}

type kind struct {
	frame    []byte
	class    traffic.Class
	port     uint16
	vlan     uint16
	fragment bool
	payload  int // bytes behind the last header, padding included
}

// kinds returns a frame of every kind that can be parsed.
func kinds() map[string]kind {
	syn, syn6 := synFrame()[:54], synFrame6()
	tiny := slices.Clone(syn[:42])
	binary.BigEndian.PutUint16(tiny[16:], 28)
	tiny[20] = 0x20
	later := slices.Clone(syn)
	later[21] = 3
	first := slices.Clone(syn)
	first[20] = 0x20
	echo := ipv4Frame(1, 8)[:42]
	echo[34] = 8
	options := slices.Clone(ipv4Frame(6, 24))[:58]
	options[14] = 0x46
	copy(options[38:], syn[34:54])
	binary.BigEndian.PutUint16(options[16:], 44)
	echo6 := extended(58, make([]byte, 8))
	echo6[54] = 128
	l4 := syn6[54:]
	sctp := ipv4Frame(132, 16)[:50]
	copy(sctp[34:], []byte{0x9c, 0x40, 0x01, 0xbb, 12: 1})
	return map[string]kind{
		"tcp":               {frame: syn, class: traffic.TCPSYN, port: 443},
		"tcp, ip options":   {frame: options, class: traffic.TCPSYN, port: 443},
		"udp":               {frame: udpFrame()[:42], class: traffic.UDP, port: 53},
		"echo":              {frame: echo, class: traffic.ICMPEcho, port: 8 << 8},
		"gre":               {frame: ipv4Frame(47, 4)[:34], class: traffic.Other},
		"sctp":              {frame: sctp, class: traffic.Other, port: 443, payload: 16},
		"vlan":              {frame: tagged(syn, 0x8100, 7), class: traffic.TCPSYN, port: 443, vlan: 7},
		"qinq":              {frame: tagged(tagged(syn, 0x8100, 7), 0x88a8, 9), class: traffic.TCPSYN, port: 443, vlan: 9},
		"first fragment":    {frame: first, class: traffic.TCPSYN, port: 443, fragment: true},
		"tiny fragment":     {frame: tiny, class: traffic.Fragment, port: 443, fragment: true, payload: 4},
		"later fragment":    {frame: later, class: traffic.Fragment, fragment: true, payload: 20},
		"ipv6":              {frame: syn6, class: traffic.TCPSYN, port: 443},
		"ipv6, vlan":        {frame: tagged(syn6, 0x8100, 7), class: traffic.TCPSYN, port: 443, vlan: 7},
		"ipv6 echo":         {frame: echo6, class: traffic.ICMPEcho, port: 128 << 8},
		"ipv6, hop by hop":  {frame: extended(0, header(6, 0, 8), l4), class: traffic.TCPSYN, port: 443},
		"ipv6, ah":          {frame: extended(51, header(6, 4, 24), l4), class: traffic.TCPSYN, port: 443},
		"ipv6, eight":       {frame: eight(l4), class: traffic.TCPSYN, port: 443},
		"ipv6 fragment":     {frame: extended(44, []byte{6, 0, 0, 1, 0, 0, 0, 1}, l4), class: traffic.TCPSYN, port: 443, fragment: true},
		"ipv6 later":        {frame: extended(44, []byte{6, 0, 0, 8, 0, 0, 0, 1}, l4), class: traffic.Fragment, fragment: true, payload: 20},
		"ipv6 atomic":       {frame: extended(44, []byte{6, 0, 0, 0, 0, 0, 0, 1}, l4), class: traffic.TCPSYN, port: 443},
		"ipv6 udp, jumbo":   {frame: extended(17, make([]byte, 8)), class: traffic.UDP},
		"ipv6 esp":          {frame: extended(50, make([]byte, 16)), class: traffic.Other, payload: 16},
		"ipv6 tiny":         {frame: extended(44, []byte{6, 0, 0, 1, 0, 0, 0, 1}, l4[:8]), class: traffic.Fragment, port: 443, fragment: true, payload: 4},
		"ipv6, ah, options": {frame: extended(51, header(60, 4, 24), header(6, 1, 16), l4), class: traffic.TCPSYN, port: 443},
	}
}

// malformed returns a frame for every reason but CutIP, which replay does not report. That for ShortEthernet has a VLAN tag: without
// one it would be too short to run.
func malformed() map[traffic.Reason][]byte {
	syn, udp := synFrame()[:54], udpFrame()[:42]
	change := func(f []byte, at int, b ...byte) []byte {
		f = slices.Clone(f)
		copy(f[at:], b)
		return f
	}
	nine := header(0, 0, 8)
	var chain [][]byte
	for range 9 {
		chain = append(chain, nine)
	}
	return map[traffic.Reason][]byte{
		traffic.ShortEthernet:     tagged(syn, 0x8100, 7)[:16],
		traffic.ShortIP:           syn[:30],
		traffic.BadIP:             change(syn, 14, 0x44),
		traffic.ShortExtension:    extended(0, header(6, 3, 8)),
		traffic.TooManyExtensions: extended(0, chain...),
		traffic.ShortTCP:          change(syn, 16, 0, 39),
		traffic.ShortUDP:          change(udp, 16, 0, 27),
		traffic.ShortICMP:         change(udp, 16, 0, 27, 0, 0, 0, 0, 0, 1),
		traffic.BadTCP:            change(syn, 46, 0x40),
		traffic.BadUDP:            change(udp, 38, 0, 9),
		traffic.BadFragment:       change(syn, 20, 0x1f, 0xff),
	}
}

// tagged puts a VLAN tag before a frame's EtherType.
func tagged(frame []byte, kind, id uint16) []byte {
	out := slices.Clone(frame[:12])
	out = binary.BigEndian.AppendUint16(out, kind)
	out = binary.BigEndian.AppendUint16(out, id)
	return append(out, frame[12:]...)
}

// extended returns an IPv6 frame with parts after its header, the first of type next.
func extended(next byte, parts ...[]byte) []byte {
	f := synFrame6()[:54]
	for _, p := range parts {
		f = append(f, p...)
	}
	f[20] = next
	binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54))
	return f
}

// header returns an extension header of size bytes with length as its length field.
func header(next, length byte, size int) []byte {
	h := make([]byte, size)
	h[0], h[1] = next, length
	return h
}

func eight(l4 []byte) []byte {
	var parts [][]byte
	for _, next := range []byte{43, 60, 135, 139, 140, 60, 60, 6} {
		parts = append(parts, header(next, 0, 8))
	}
	return extended(0, append(parts, l4)...)
}

// generator makes random frames, most of them with small errors.
type generator struct{ *rand.Rand }

func (g generator) frame() []byte {
	var f []byte
	if g.IntN(2) == 0 {
		f = g.ipv4()
	} else {
		f = g.ipv6()
	}
	for g.IntN(4) == 0 && len(f) < 200 {
		f = tagged(f, []uint16{0x8100, 0x88a8, 0x9100, 0x0800}[g.IntN(4)], uint16(g.Uint32()))
	}
	for g.IntN(3) == 0 {
		f[g.IntN(len(f))] = byte(g.Uint32())
	}
	if g.IntN(4) == 0 {
		f = f[:14+g.IntN(len(f)-13)]
	}
	return f
}

func (g generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) proto() byte {
	return []byte{6, 6, 6, 17, 17, 1, 58, 136, 132, 47, byte(g.Uint32())}[g.IntN(11)]
}

// transport returns a layer 4 header of about the right length and fields.
func (g generator) transport(proto byte) []byte {
	b := g.bytes(g.IntN(44))
	switch {
	case proto == 6 && len(b) > 12:
		b[12] = byte(4+g.IntN(6)) << 4
	case proto == 17 && len(b) > 5:
		binary.BigEndian.PutUint16(b[4:], uint16(max(0, len(b)-g.IntN(3)+1)))
	case len(b) > 0:
		b[0] = []byte{8, 128, 3, 0}[g.IntN(4)]
	}
	return b
}

func (g generator) ipv4() []byte {
	proto := g.proto()
	words := 5
	if g.IntN(4) == 0 {
		words = 4 + g.IntN(12)
	}
	ip := g.bytes(max(20, words*4))
	ip[0], ip[9] = 4<<4|byte(words), proto
	ip[6], ip[7] = 0, 0
	if g.IntN(4) == 0 {
		ip[6], ip[7] = []byte{0x20, 0x00, 0x3f, 0x40}[g.IntN(4)], byte(g.IntN(3)*g.IntN(256))
	}
	ip = append(ip, g.transport(proto)...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)-g.IntN(5)+g.IntN(3)))
	return append(append(g.bytes(12), 8, 0), append(ip, g.bytes(g.IntN(10))...)...)
}

func (g generator) ipv6() []byte {
	proto := g.proto()
	var rest []byte
	next := proto
	for n := g.IntN(4) * g.IntN(4); n > 0; n-- {
		kind := []byte{0, 43, 44, 51, 60, 135, 139, 140}[g.IntN(8)]
		h := g.bytes(8 * (1 + g.IntN(2)))
		h[0], h[1] = next, byte(len(h)/8-1)
		if kind == 51 {
			h[1] = byte(len(h)/4 - 2)
		}
		if kind == 44 {
			h = h[:8]
			h[2], h[3] = byte(g.IntN(4)/3*g.IntN(256)), byte(g.IntN(2)*g.IntN(16))
		}
		rest, next = append(h, rest...), kind
	}
	rest = append(rest, g.transport(proto)...)
	ip := g.bytes(40)
	ip[0], ip[6] = 0x60|ip[0]&15, next
	binary.BigEndian.PutUint16(ip[4:], uint16(max(0, len(rest)-g.IntN(3)+g.IntN(3))))
	return append(append(g.bytes(12), 0x86, 0xdd), append(ip, rest...)...)
}
