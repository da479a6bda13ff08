// Package model is the packet program's parser written in Go, without the kernel. The tests of package bpf compare the two on random
// frames.
package model

import (
	"encoding/binary"
	"net/netip"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// Outcome is how far the parser came.
type Outcome uint8

// The outcomes.
const (
	// Parsed is an IPv4 or IPv6 packet; all fields are set.
	Parsed Outcome = iota
	// NotIP is a complete frame of another protocol.
	NotIP
	// Malformed is a packet that passes, unless its Source is valid, as for reasons after CutIP, and blocked. Reason says why;
	// no other field is defined.
	Malformed
)

// Packet is the result of parsing a frame.
type Packet struct {
	Outcome        Outcome
	Reason         traffic.Reason
	Source, Target netip.Addr
	// SourcePort and TargetPort are 0 without ports; for ICMP the target's is type<<8 | code.
	SourcePort, TargetPort uint16
	// VLAN is the outer tag's id.
	VLAN uint16
	// Proto is the protocol after the extension headers.
	Proto uint8
	// Flags are the TCP flags, and of SCTP the type of the first chunk.
	Flags uint8
	Class traffic.Class
	// Fragment is set for every fragment, Tiny for a first one without a complete layer 4 header.
	Fragment, Tiny bool
	// Bytes is the length of the frame according to the IP header.
	Bytes uint32
}

const (
	maxExtensions = 8
	standardFrame = 1522
	etherIPv4     = 0x0800
	etherIPv6     = 0x86dd
)

// Parse parses a frame from the Ethernet header on. lenient accepts frames that are shorter than their IP header states, as in captures
// that cut frames. It may be called concurrently.
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

func (p *parser) malformed(reason traffic.Reason) {
	p.Outcome, p.Reason = Malformed, reason
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

// cut sets Bytes and reports a frame that ends before its IP packet does.
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

// extensions skips the extension headers (RFC 8200, section 4) and parses the transport header.
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

// fragment parses a fragment header and reports whether parsing ends with it.
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

// transport parses the layer 4 header; length is what the IP header states, icmp the protocol number of ICMP or ICMPv6.
func (p *parser) transport(at, length int, icmp uint8) {
	switch p.Proto {
	case 6:
		p.tcp(at, length)
	case 17, 136:
		p.udp(at, length)
	case icmp:
		p.icmp(at, length)
	case 132:
		p.sctp(at, length)
	default:
		p.Class = traffic.Other
	}
}

// sctp reads the ports and the type of the first chunk (RFC 9260, section 3), if they are there.
func (p *parser) sctp(at, length int) {
	p.Class = traffic.Other
	if length >= 13 && p.has(at, 13) {
		p.ports(at)
		p.Flags = p.frame[at+12]
	}
}

// short handles an incomplete layer 4 header: a first fragment with one is Tiny, because that hides ports and flags; any other packet
// is malformed. ports says whether the protocol has ports.
func (p *parser) short(at, length int, reason traffic.Reason, ports bool) {
	if !p.Fragment {
		p.malformed(reason)
		return
	}
	p.Tiny, p.Class = true, traffic.Fragment
	if !ports || length < 4 {
		return
	}
	if !p.has(at, 4) {
		p.malformed(reason)
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

// classOf returns the class of TCP flags (RFC 9293); ECE and CWR are ignored.
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
	// UDP-Lite has the checksum coverage there (RFC 3828). A jumbogram has 0 (RFC 2675, section 4), which Linux accepts in any IPv6
	// packet.
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
