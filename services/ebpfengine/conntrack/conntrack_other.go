//go:build !linux

package conntrack

import (
	"errors"
	"net/netip"
)

// Source is for Linux.
func Source(uint8, netip.AddrPort, netip.AddrPort) (netip.Addr, error) {
	return netip.Addr{}, errors.ErrUnsupported
}
