package embedded

import (
	"net/netip"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
)

// maxPeers bounds what Peers returns.
const maxPeers = 1024

// Peers returns the addresses of other machines whose keys were accepted, sorted, each once. A block must not cut
// them off. It may be called concurrently.
func (s *Server) Peers() []netip.Addr {
	ns := s.dialer.current.Load()
	if ns == nil {
		return nil
	}
	found, err := ns.Connz(&server.ConnzOptions{Username: true, Limit: maxPeers})
	if err != nil {
		return nil // fails for wrong options only
	}
	var peers []netip.Addr
	for _, c := range found.Conns {
		addr, err := netip.ParseAddr(c.IP) // none within this process
		if err == nil && c.AuthorizedUser != "" {
			peers = append(peers, addr.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(peers, netip.Addr.Compare)
	return slices.Compact(peers)
}
