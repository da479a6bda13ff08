package bpf_test

import "encoding/binary"

// The frames of the tests are as short as Ethernet's: 60 bytes.

func synFrame() []byte { return tcpFrame(0x02) }

func ackFrame() []byte { return tcpFrame(0x10) }

func tcpFrame(flags byte) []byte {
	f := ipv4Frame(6, 20)
	l4 := f[34:]
	binary.BigEndian.PutUint16(l4, 40000)
	binary.BigEndian.PutUint16(l4[2:], 443)
	l4[12], l4[13] = 5<<4, flags
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
