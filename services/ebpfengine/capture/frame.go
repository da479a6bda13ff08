package capture

import (
	"encoding/binary"
	"time"

	"github.com/gopacket/gopacket/layers"
)

const (
	// MaxFrame is how many bytes of a frame are kept: more than all headers need, and what
	// BPF_PROG_TEST_RUN takes in one page beside its own data.
	MaxFrame = 2048
	// minHeaders is how many bytes of a frame must be in the capture for it to be padded to its
	// length: Ethernet, two VLAN tags, IPv6 with a few extensions, TCP.
	minHeaders = 128

	etherHeader   = 14
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
)

// Frame is one packet as an Ethernet frame.
type Frame struct {
	// At never decreases from one frame to the next.
	At time.Time
	// Data has at most MaxFrame bytes. It is valid until the next call of Next.
	Data []byte
	// Length is the number of bytes on the wire, as the capture says.
	Length int
}

// toEthernet returns data of a packet with length bytes on the wire as an Ethernet frame
// with its own length, and false for an unsupported link type
// (https://www.tcpdump.org/linktypes.html).
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

// fromIP returns the frame of the IP packet that begins at skip.
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

// fromCooked returns the frame of a packet with a Linux cooked header of size bytes, which has the
// EtherType at offset.
func fromCooked(data []byte, length, size, offset int) ([]byte, int, bool) {
	if len(data) < size {
		return nil, 0, false
	}
	return withEthernet(binary.BigEndian.Uint16(data[offset:]), data[size:], length-size)
}

func withEthernet(etherType uint16, payload []byte, length int) ([]byte, int, bool) {
	frame := make([]byte, etherHeader, etherHeader+len(payload))
	binary.BigEndian.PutUint16(frame[12:], etherType)
	frame = append(frame, payload...)
	length = max(length, 0) + etherHeader
	return pad(frame, length), length, true
}

// pad returns a copy of a frame with its original length, filled with zeros, so that bytes
// are counted right although the capture cut it; but only if it has all headers.
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
