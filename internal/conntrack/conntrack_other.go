//go:build !linux

package conntrack

import (
	"context"
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

// Watch is for Linux.
func Watch(context.Context, func(Connection), func()) error { return errors.ErrUnsupported }

// Complete is for Linux.
func Complete(Connection) (complete, known bool, err error) {
	return false, false, errors.ErrUnsupported
}

// All is for Linux.
func All(func(Connection)) error { return errors.ErrUnsupported }
