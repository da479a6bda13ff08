// Package model is the parser of the packet program again, in Go: what a frame is, without the kernel. The tests of package
// bpf compare the two on millions of frames; where they differ, one of them is wrong.
package model

import (
	"encoding/binary"
	"net/netip"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// Outcome says how far the parser came.
type Outcome uint8

// The outcomes.
const (
	// Parsed is an IPv4 or IPv6 packet whose fields are filled.
	Parsed Outcome = iota
	// NotIP is a whole frame of another protocol.
	NotIP
	// Malformed is a packet that passes unread, unless its Source is valid, which is read for reasons after CutIP, and blocked.
	// Reason says why; no other field is to be used.
	Malformed
)

// Packet is what the parser found in a frame.
type Packet struct {
	Outcome        Outcome
	Reason         traffic.Reason
	Source, Target netip.Addr
	// SourcePort and TargetPort are 0 where there is none to read; for ICMP the target's is type<<8 | code.
	SourcePort, TargetPort uint16
	// VLAN is the outer tag's id.
	VLAN uint16
	// Proto is the protocol after the extension headers.
	Proto uint8
	// Flags are the TCP flags.
	Flags uint8
	Class traffic.Class
	// Fragment is set for every fragment, Tiny for a first one without its whole layer 4 header.
	Fragment, Tiny bool
	// Bytes are those of the frame as the IP header says.
	Bytes uint32
}

const (
	maxExtensions = 8
	standardFrame = 1522
	etherIPv4     = 0x0800
	etherIPv6     = 0x86dd
)

// Parse reads a frame from the Ethernet header on. lenient takes frames shorter than their IP header promises, as captures
// cut on purpose are. It is safe for concurrent use and never fails.
func Parse(frame []byte, lenient bool) Packet {
	p := &parser{frame: frame, lenient: lenient}
	p.ethernet()
	return p.Packet
}

type parser struct {
	Packet
	frame   []byte
	lenient bool
	v6      bool
}

func (p *parser) malformed(why traffic.Reason) {
	p.Outcome, p.Reason = Malformed, why
}

// has reports whether n bytes from at on are in the frame.
func (p *parser) has(at, n int) bool { return at+n <= len(p.frame) }

func (p *parser) be16(at int) int { return int(binary.BigEndian.Uint16(p.frame[at:])) }

func (p *parser) ethernet() {
	if !p.has(0, 14) {
		p.malformed(traffic.ShortEthernet)
		return
	}
	at, kind := 14, p.be16(12)
	for tags := 0; tags < 2 && isTag(kind); tags++ {
		if !p.has(at, 4) {
			p.malformed(traffic.ShortEthernet)
			return
		}
		if tags == 0 {
			p.VLAN = uint16(p.be16(at) & 0xfff)
		}
		kind = p.be16(at + 2)
		at += 4
	}
	switch kind {
	case etherIPv4:
		p.ipv4(at)
	case etherIPv6:
		p.ipv6(at)
	default:
		p.Outcome, p.Class, p.Bytes = NotIP, traffic.NonIP, uint32(len(p.frame))
	}
}

func isTag(kind int) bool { return kind == 0x8100 || kind == 0x88a8 || kind == 0x9100 }

// cut reports a frame that ends before its IP packet does.
func (p *parser) cut(end int) bool {
	p.Bytes = uint32(end)
	return !p.lenient && end > len(p.frame) && len(p.frame) <= standardFrame
}

func (p *parser) ipv4(at int) {
	if !p.has(at, 20) {
		p.malformed(traffic.ShortIP)
		return
	}
	size, total := int(p.frame[at]&15)*4, p.be16(at+2)
	switch {
	case p.frame[at]>>4 != 4 || size < 20:
		p.malformed(traffic.BadIP)
		return
	case !p.has(at, size):
		p.malformed(traffic.ShortIP)
		return
	case total < size:
		p.malformed(traffic.BadIP)
		return
	case p.cut(at + total):
		p.malformed(traffic.CutIP)
		return
	}
	p.Proto = p.frame[at+9]
	p.Source = netip.AddrFrom4([4]byte(p.frame[at+12:]))
	p.Target = netip.AddrFrom4([4]byte(p.frame[at+16:]))
	more, offset := p.be16(at+6)&0x2000 != 0, p.be16(at+6)&0x1fff*8
	p.Fragment = more || offset > 0
	switch {
	case p.Fragment && offset+total > 65535:
		p.malformed(traffic.BadFragment)
	case offset > 0:
		p.Class = traffic.Fragment
	default:
		p.transport(at+size, total-size, 1)
	}
}

func (p *parser) ipv6(at int) {
	if !p.has(at, 40) {
		p.malformed(traffic.ShortIP)
		return
	}
	if p.frame[at]>>4 != 6 {
		p.malformed(traffic.BadIP)
		return
	}
	length := p.be16(at + 4)
	if p.cut(at + 40 + length) {
		p.malformed(traffic.CutIP)
		return
	}
	p.Proto, p.v6 = p.frame[at+6], true
	p.Source = netip.AddrFrom16([16]byte(p.frame[at+8:])).Unmap()
	p.Target = netip.AddrFrom16([16]byte(p.frame[at+24:])).Unmap()
	p.extensions(at+40, length)
}

// extensions walks the headers between IPv6 and the transport (RFC 8200, section 4).
func (p *parser) extensions(at, length int) {
	for range maxExtensions {
		if !isExtension(p.Proto) {
			break
		}
		if length < 8 || !p.has(at, 8) {
			p.malformed(traffic.ShortExtension)
			return
		}
		size := (int(p.frame[at+1]) + 1) * 8
		switch p.Proto {
		case 51: // authentication header: RFC 4302
			size = (int(p.frame[at+1]) + 2) * 4
		case 44:
			size = 8
			if done := p.fragment(at, length); done {
				return
			}
		}
		if length < size {
			p.malformed(traffic.ShortExtension)
			return
		}
		p.Proto = p.frame[at]
		at, length = at+size, length-size
	}
	if isExtension(p.Proto) {
		p.malformed(traffic.TooManyExtensions)
		return
	}
	p.transport(at, length, 58)
}

// fragment reads a fragment header and reports whether nothing follows that could be read.
func (p *parser) fragment(at, length int) bool {
	offset, more := p.be16(at+2)&0xfff8, p.be16(at+2)&1 != 0
	p.Fragment = p.Fragment || more || offset > 0
	if offset+length-8 > 65535 {
		p.malformed(traffic.BadFragment)
		return true
	}
	if offset > 0 {
		p.Proto, p.Class = p.frame[at], traffic.Fragment
	}
	return offset > 0
}

func isExtension(proto uint8) bool {
	switch proto {
	case 0, 43, 44, 51, 60, 135, 139, 140:
		return true
	}
	return false
}

// transport reads the layer 4 header, of which the IP header promises length bytes. icmp is the family's number for ICMP.
func (p *parser) transport(at, length int, icmp uint8) {
	switch p.Proto {
	case 6:
		p.tcp(at, length)
	case 17, 136:
		p.udp(at, length)
	case icmp:
		p.icmp(at, length)
	default:
		p.Class = traffic.Other
	}
}

// short deals with a layer 4 header that is not all there: in a first fragment that is a way to hide it, else it is malformed.
func (p *parser) short(at, length int, why traffic.Reason, ports bool) {
	if !p.Fragment {
		p.malformed(why)
		return
	}
	p.Tiny, p.Class = true, traffic.Fragment
	if !ports || length < 4 {
		return
	}
	if !p.has(at, 4) {
		p.malformed(why)
		return
	}
	p.ports(at)
}

func (p *parser) ports(at int) {
	p.SourcePort, p.TargetPort = uint16(p.be16(at)), uint16(p.be16(at+2))
}

func (p *parser) tcp(at, length int) {
	if length < 20 {
		p.short(at, length, traffic.ShortTCP, true)
		return
	}
	if !p.has(at, 20) {
		p.malformed(traffic.ShortTCP)
		return
	}
	size := int(p.frame[at+12]>>4) * 4
	if size < 20 {
		p.malformed(traffic.BadTCP)
		return
	}
	if size > length {
		p.short(at, length, traffic.BadTCP, true)
		return
	}
	p.ports(at)
	p.Flags = p.frame[at+13]
	p.Class = classOf(p.Flags)
}

// classOf names the flags by RFC 9293; ECE and CWR say nothing here.
func classOf(flags uint8) traffic.Class {
	fin, syn, rst := flags&1 != 0, flags&2 != 0, flags&4 != 0
	ack, urg := flags&16 != 0, flags&32 != 0
	several := (fin && syn) || (fin && rst) || (syn && rst)
	switch {
	case several:
		return traffic.TCPOther
	case rst:
		return traffic.TCPRST
	case syn && ack:
		return traffic.TCPSYNACK
	case syn:
		return traffic.TCPSYN
	case fin && ack:
		return traffic.TCPFINACK
	case fin && urg:
		return traffic.TCPXmas
	case fin:
		return traffic.TCPFIN
	case ack:
		return traffic.TCPACK
	case flags&63 == 0:
		return traffic.TCPNull
	default:
		return traffic.TCPOther
	}
}

func (p *parser) udp(at, length int) {
	if length < 8 {
		p.short(at, length, traffic.ShortUDP, true)
		return
	}
	if !p.has(at, 8) {
		p.malformed(traffic.ShortUDP)
		return
	}
	// UDP-Lite has its checksum's coverage there (RFC 3828). A jumbogram has 0 (RFC 2675, section 4), and Linux takes that in any
	// packet of IPv6.
	size := p.be16(at + 4)
	jumbo := size == 0 && p.v6
	if p.Proto == 17 && (size < 8 && !jumbo || size > length && !p.Fragment) {
		p.malformed(traffic.BadUDP)
		return
	}
	p.ports(at)
	p.Class = traffic.UDP
}

func (p *parser) icmp(at, length int) {
	if length < 8 {
		p.short(at, length, traffic.ShortICMP, false)
		return
	}
	if !p.has(at, 8) {
		p.malformed(traffic.ShortICMP)
		return
	}
	p.TargetPort = uint16(p.be16(at))
	p.Class = traffic.ICMPOther
	if echo := map[uint8]byte{1: 8, 58: 128}[p.Proto]; p.frame[at] == echo {
		p.Class = traffic.ICMPEcho
	}
}
