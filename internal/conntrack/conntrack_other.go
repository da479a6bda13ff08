//go:build !linux

package conntrack

import (
	"errors"
	"net/netip"
)

// Source is for Linux.
func (a *Asker) Source(uint8, netip.AddrPort, netip.AddrPort) (netip.Addr, error) {
	if _, err := a.left(); err != nil {
		return netip.Addr{}, err
	}
	return netip.Addr{}, errors.ErrUnsupported
}

// Connected is for Linux.
func Connected(netip.Addr, func(remote, local netip.Addr)) error { return errors.ErrUnsupported }
