//go:build !linux

package blocklist

import (
	"context"
	"net"
	"net/netip"
)

// gateways: there is no kernel blocklist here that could cut them off.
func gateways(string) ([]ProtectedAddress, error) { return nil, nil }

// sshPeers: see gateways.
func sshPeers(string) ([]ProtectedAddress, error) { return nil, nil }

func ownAddresses(string) ([]ProtectedAddress, error) {
	found, err := net.InterfaceAddrs()
	var list []ProtectedAddress
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				list = single(list, OwnAddress, addr)
			}
		}
	}
	return list, wrapped("addresses", err)
}

func networkChanges(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
