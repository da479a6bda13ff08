package blocklist

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bus"
)

// AutomaticallyBlocked returns the addresses of network that the bucket blocks, each by an entry of its own that no operator made,
// sorted.
func (r *Reconciler) AutomaticallyBlocked(network netip.Prefix) (found []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for prefix, b := range r.plan.blocks {
		if prefix.IsSingleIP() && network.Contains(prefix.Addr()) && b.Source != bus.Operator {
			found = append(found, prefix.Addr())
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return found
}

// NotToBlock returns why no automatic block may have all of an IPv6 network: a part of it is allowed or protected, or addresses
// other than those blocked have established connections. It returns "" if nothing is known against it, and an error if that cannot
// be found out.
func (r *Reconciler) NotToBlock(network netip.Prefix, blocked []netip.Addr) (string, error) {
	for _, p := range slices.Concat(r.protector.allowedPrefixes(), r.ProtectedAddresses()) {
		if p.Prefix.Overlaps(network) {
			return fmt.Sprintf("%s has %s, which is protected: %s", network, p.Prefix, p.Kind), nil
		}
	}
	peers, err := connectedPeers("/", network)
	peers = slices.DeleteFunc(peers, func(a netip.Addr) bool { return slices.Contains(blocked, a) })
	if len(peers) > 0 {
		return fmt.Sprintf("%s has an established connection with %s", network, peers[0]), nil
	}
	if err != nil {
		return "", fmt.Errorf("established connections of %s: %w", network, err)
	}
	return "", nil
}
