//go:build !linux

package blocklist

import (
	"net"
	"net/netip"
)

// gateways returns nothing: without a kernel blocklist, nothing cuts them off.
func gateways(string) ([]netip.Addr, error) { return nil, nil }

// sshPeers returns nothing, as gateways.
func sshPeers(string, *otherProcesses) ([]ProtectedAddress, error) { return nil, nil }

func ownAddresses(string) (addrs []netip.Addr, err error) {
	found, err := net.InterfaceAddrs()
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, addr)
			}
		}
	}
	return addrs, err
}

// connectedPeers returns nothing, as gateways.
func connectedPeers(string, netip.Prefix) ([]netip.Addr, error) { return nil, nil }
