package capture

import (
	"encoding/binary"
	"time"

	"github.com/gopacket/gopacket/layers"
)

const (
	// MaxFrame is how much of a frame is kept: more than any header needs, and what
	// BPF_PROG_TEST_RUN takes in one page beside its own needs.
	MaxFrame = 2048
	// minHeaders is how much of a frame must be in the capture for the rest to be filled
	// with zeros: Ethernet, two VLAN tags, IPv6 with a few extensions, TCP.
	minHeaders = 128

	etherHeader   = 14
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
)

// Frame is one packet as an Ethernet frame.
type Frame struct {
	// At never goes back from one frame to the next.
	At time.Time
	// Data has at most MaxFrame bytes. It is the reader's until the next call of Next.
	Data []byte
	// Length is how many bytes it had on the wire, as far as the capture is to be believed.
	Length int
}

// toEthernet returns data, of a packet of length bytes on the wire, as an Ethernet frame, or false
// if its link type is not known. The link types are those of
// https://www.tcpdump.org/linktypes.html.
func toEthernet(link layers.LinkType, data []byte, length int) (frame []byte, wire int, ok bool) {
	switch link {
	case layers.LinkTypeEthernet:
		return pad(data, length), length, true
	case layers.LinkTypeRaw, 12, 14, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return fromIP(data, length, 0)
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		return fromIP(data, length, 4)
	case layers.LinkTypeLinuxSLL:
		return fromCooked(data, length, 16, 14)
	case layers.LinkTypeLinuxSLL2:
		return fromCooked(data, length, 20, 0)
	}
	return nil, 0, false
}

// fromIP puts an Ethernet header before the IP packet that begins at skip.
func fromIP(data []byte, length, skip int) ([]byte, int, bool) {
	if len(data) <= skip {
		return nil, 0, false
	}
	switch data[skip] >> 4 {
	case 4:
		return withEthernet(etherTypeIPv4, data[skip:], length-skip)
	case 6:
		return withEthernet(etherTypeIPv6, data[skip:], length-skip)
	}
	return nil, 0, false
}

// fromCooked is Linux' own header of size bytes, with the EtherType at place.
func fromCooked(data []byte, length, size, place int) ([]byte, int, bool) {
	if len(data) < size {
		return nil, 0, false
	}
	return withEthernet(binary.BigEndian.Uint16(data[place:]), data[size:], length-size)
}

func withEthernet(etherType uint16, payload []byte, length int) ([]byte, int, bool) {
	frame := make([]byte, etherHeader, etherHeader+len(payload))
	binary.BigEndian.PutUint16(frame[12:], etherType)
	frame = append(frame, payload...)
	length = max(length, 0) + etherHeader
	return pad(frame, length), length, true
}

// pad gives a frame that the capture cut the length it had, so that bytes are
// counted as they were, but only if no header can be in what is missing.
func pad(data []byte, length int) []byte {
	data = data[:min(len(data), MaxFrame)]
	length = min(length, MaxFrame)
	if len(data) < minHeaders || len(data) >= length {
		return append([]byte(nil), data...)
	}
	out := make([]byte, length)
	copy(out, data)
	return out
}
