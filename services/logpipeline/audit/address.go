package audit

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
)

// The address families of linux/socket.h that are decoded. The kernel writes the structure as it is in memory, so the family is in the byte
// order of the machine, which is taken to be little endian, and the port in network byte order.
const (
	familyUnix  = 1
	familyIPv4  = 2
	familyIPv6  = 10
	sizeOfIPv4  = 8
	sizeOfIPv6  = 24
	maxSockaddr = 128 // bytes of sockaddr_storage
)

// otherFamilies are the names that ausearch gives to families whose addresses are not decoded.
var otherFamilies = map[uint16]string{0: "unspec", 16: "netlink", 17: "packet", 29: "can", 31: "bluetooth", 38: "alg", 40: "vsock", 44: "xdp"}

// Address is a decoded saddr of a SOCKADDR record. Family is as ausearch(8) names it: "inet" and "inet6", for which Peer is set, "local", for
// which Path is set, beginning with "@" if it is of the abstract namespace, or that of another one, for which neither is.
type Address struct {
	Family string
	Peer   netip.AddrPort
	Path   string
}

// ParseAddress decodes the field saddr. ok is false if it is of an unknown family or damaged.
func ParseAddress(saddr string) (a Address, ok bool) {
	if len(saddr) > 2*maxSockaddr {
		return Address{}, false
	}
	raw, err := hex.DecodeString(saddr)
	if err != nil || len(raw) < 2 {
		return Address{}, false
	}
	switch binary.LittleEndian.Uint16(raw) {
	case familyIPv4:
		if len(raw) < sizeOfIPv4 {
			return Address{}, false
		}
		return Address{Family: "inet", Peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), binary.BigEndian.Uint16(raw[2:]))}, true
	case familyIPv6:
		if len(raw) < sizeOfIPv6 {
			return Address{}, false
		}
		return Address{Family: "inet6", Peer: netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[8:24])).Unmap(), binary.BigEndian.Uint16(raw[2:]))}, true
	case familyUnix:
		path := strings.ToValidUTF8(string(raw[2:]), "\uFFFD")
		if abstract, ok := strings.CutPrefix(path, "\x00"); ok {
			path = "@" + abstract
		}
		path, _, _ = strings.Cut(path, "\x00")
		return Address{Family: "local", Path: path}, true
	}
	name, ok := otherFamilies[binary.LittleEndian.Uint16(raw)]
	return Address{Family: name}, ok
}
