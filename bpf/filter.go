package bpf

import (
	"errors"
	"net/netip"
	"time"
)

// ErrFull is returned when a list has no room for another entry.
var ErrFull = errors.New("no room in the kernel's list")

// FilterOptions sizes and places a Filter.
type FilterOptions struct {
	// MaxEntries bounds the blocklist, for IPv4 and for IPv6 each. 0 means 10,000.
	MaxEntries int
	// Pins is the folder of a bpf file system to pin the maps in, such as /sys/fs/bpf/ironpost; it is made if it is
	// missing. Empty: the maps live as long as the Filter and the programs that use it.
	Pins string
}

// Entry is one prefix of the blocklist.
type Entry struct {
	// Prefix is masked by Block; IPv4-mapped IPv6 prefixes are taken for IPv4.
	Prefix netip.Prefix
	// Expires is when the entry ends to hold. Zero: never.
	Expires time.Time
	// Reason is the caller's number for why; the kernel keeps it.
	Reason uint32
	// Monitor counts what would be dropped and lets it pass.
	Monitor bool
	// Packets and Bytes count what met the entry. Block ignores them; Blocked fills them.
	Packets, Bytes uint64
}

// Filter is the allow list and the blocklist in the kernel. The allow list wins over any entry of the blocklist. Its
// methods may be called concurrently; one process at a time may hold a pinned Filter.
type Filter struct{ lists }
