package bus

import (
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"
)

// Peers returns the addresses of the servers of this connection: the current or last one, and those that are
// configured or announced by address; names are not resolved. It is empty within one process. It may be called
// concurrently.
func (c *Conn) Peers() []netip.Addr {
	if c.nc.Opts.InProcessServer != nil {
		return nil
	}
	var out []netip.Addr
	add := func(addr netip.Addr) {
		if addr = addr.Unmap().WithZone(""); !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	if at, err := netip.ParseAddrPort(c.nc.ConnectedAddr()); err == nil {
		addr := at.Addr()
		c.peer.Store(&addr)
	}
	if last := c.peer.Load(); last != nil {
		add(*last)
	}
	for _, server := range c.nc.Servers() {
		u, err := url.Parse(server)
		if err != nil {
			continue
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			add(addr)
		}
	}
	return out
}

// ServerCertificate returns the certificate of the server that c is connected to; nil without TLS or a connection. It may be called
// concurrently.
func (c *Conn) ServerCertificate() *x509.Certificate {
	state, err := c.nc.TLSConnectionState()
	if err != nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}
