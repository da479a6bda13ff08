package parse

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxHops bounds the addresses of a forwarded list, and maxForwarded its length: nobody has more proxies, and a client may send any list.
const (
	maxHops      = 32
	maxForwarded = 2048
)

// noAddress is the source of an event that has none.
var noAddress netip.Addr

// A hop is one element of a forwarded list. Its address is invalid where a proxy hides it ("unknown", "_a").
type hop struct {
	addr netip.Addr
	port uint16
}

// setClient sets c-ip, and the source that may be blocked, from the peer of the connection and the lists of forwarded addresses that the
// request had. Only configured proxies are believed: the client is the last address, going back from the peer, that is no proxy. Lists that
// disagree, or a client that is hidden, give no source. Without trusted proxies the source is the peer.
func (e *Event) setClient(peer string, lists ...string) {
	if at, ok := parseHop(peer); ok && at.addr.IsValid() {
		e.setPeer(at, lists...)
		return
	}
	e.set("c-ip", dashToEmpty(peer))
	e.set("x-forwarded-for", strings.Join(lists, "; "))
}

func (e *Event) setPeer(peer hop, lists ...string) {
	e.set("c-ip", peer.addr.String())
	e.set("x-forwarded-for", strings.Join(lists, "; "))
	if !e.isProxy(peer.addr) {
		e.setClientHop(peer) // which wrote the lists itself
		return
	}
	var client hop
	for i, list := range lists {
		hops, ok := cutHops(list)
		c, known := e.clientOf(hops)
		if !ok || !known || i > 0 && c.addr != client.addr {
			return
		}
		client = c
	}
	if client.addr.IsValid() {
		e.setClientHop(client)
	}
}

func (e *Event) setClientHop(h hop) {
	e.SourceIP = h.addr
	e.set("c-ip", h.addr.String())
	if h.port != 0 {
		e.setPort(h.port)
	}
}

// clientOf returns the last of hops that is no trusted proxy. Without trusted proxies nothing in a list is known.
func (e *Event) clientOf(hops []hop) (hop, bool) {
	if len(e.settings.input.TrustedProxies) == 0 {
		return hop{}, false
	}
	for _, h := range slices.Backward(hops) {
		if !e.isProxy(h.addr) {
			return h, h.addr.IsValid()
		}
	}
	return hop{}, false
}

// isProxy reports whether addr is one of the trusted proxies.
func (e *Event) isProxy(addr netip.Addr) bool {
	return slices.ContainsFunc(e.settings.input.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// cutHops splits a list as X-Forwarded-For has it, and reports whether every element is a hop.
func cutHops(list string) ([]hop, bool) {
	if len(list) > maxForwarded || strings.Count(list, ",") >= maxHops {
		return nil, false
	}
	var hops []hop
	for part := range strings.SplitSeq(list, ",") {
		h, ok := parseHop(strings.TrimSpace(part))
		if !ok {
			return nil, false
		}
		hops = append(hops, h)
	}
	return hops, true
}

// isForwarded reports whether text is a list of addresses, as only X-Forwarded-For and its kin are.
func isForwarded(text string) bool {
	hops, ok := cutHops(text)
	return ok && slices.ContainsFunc(hops, func(h hop) bool { return h.addr.IsValid() })
}

// parseHop parses an address with or without a port, "unknown", or a name that a proxy made up (RFC 7239, section 6).
func parseHop(s string) (hop, bool) {
	s = strings.Trim(s, `"`)
	if s == "unknown" || strings.HasPrefix(s, "_") {
		return hop{}, true
	}
	if addr, ok := parseAddress(s); ok {
		return hop{addr: addr}, true
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return hop{}, false
	}
	return hop{ap.Addr().WithZone("").Unmap(), ap.Port()}, true
}

// parsePort reads a port that is not 0.
func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n != 0
}
