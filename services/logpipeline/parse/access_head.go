package parse

import "strings"

// accessHead is what an access log has before the time.
type accessHead struct {
	host, client, user string
	hops               []hop
	list               string // the text of hops, if there are several
	peerLast           bool   // the last of hops is the peer, and the others are a list it sent
}

// parseAccessHead parses "[vhost ]client[ ident][ user]", where client may be several addresses. The user may contain blanks.
func parseAccessHead(s string) accessHead {
	var h accessHead
	word, rest, _ := strings.Cut(s, " ")
	next, more, _ := strings.Cut(rest, " ")
	if isVirtualHost(word, next, more) {
		h.host, s, rest = dashToEmpty(word), rest, more
		word = next
	}
	rest = h.cutHops(s)
	if len(h.hops) == 0 {
		h.client = word
		_, rest, _ = strings.Cut(s, " ")
	}
	ident, user, ok := strings.Cut(rest, " ")
	if !ok {
		ident, user = "", ident
	}
	if strings.Contains(ident, ".") { // lighttpd has the host instead
		h.host = ident
	}
	h.user = user
	return h
}

// isVirtualHost reports whether word is the host that the client asked for: before an address, and no address, or one with a port. Of two
// words the second may be a user, so that the first must have a port.
func isVirtualHost(word, next, more string) bool {
	if _, ok := parseHop(strings.TrimSuffix(next, ",")); !ok || strings.HasSuffix(word, ",") {
		return false
	}
	_, isAddress := parseAddress(word)
	return !isAddress && (more != "" || strings.Contains(word, ":"))
}

// cutHops cuts the addresses that s begins with, with blanks or commas between them, and returns the rest.
func (h *accessHead) cutHops(s string) string {
	begin := s
	for s != "" {
		word, rest, _ := strings.Cut(s, " ")
		hops, ok := cutHops(strings.TrimSuffix(word, ","))
		if !ok || strings.HasPrefix(word, "_") {
			break
		}
		h.hops = append(h.hops, hops...)
		s = rest
	}
	if len(h.hops) > 1 {
		h.list = strings.TrimRight(begin[:len(begin)-len(s)], " ")
		h.peerLast = endsInPeer(strings.Fields(h.list))
	}
	return s
}

// endsInPeer reports whether the words are a list with commas, and one address behind it.
func endsInPeer(words []string) bool {
	n := len(words)
	return n > 1 && strings.Contains(words[0], ",") && !strings.HasSuffix(words[n-2], ",") && !strings.Contains(words[n-1], ",")
}

// setClient sets the client; lists are those at the end of the line.
func (h *accessHead) setClient(ev *Event, lists []string) {
	switch {
	case len(h.hops) == 0:
		ev.set("c-ip", dashToEmpty(h.client))
		for _, list := range lists {
			ev.set("x-forwarded-for", list)
		}
	case len(h.hops) == 1:
		ev.setPeer(h.hops[0], lists...)
	case h.peerLast:
		end := strings.LastIndexByte(h.list, ' ')
		ev.setPeer(h.hops[len(h.hops)-1], strings.TrimRight(h.list[:end], " "))
	default:
		ev.set("x-forwarded-for", h.list)
		h.setAmbiguous(ev)
	}
}

// setAmbiguous sets the client of addresses in an order that is not known: either the first or the last is the peer. The client is known
// where both give the same.
func (h *accessHead) setAmbiguous(ev *Event) {
	first := h.hops[0]
	client, ok := ev.clientOf(h.hops)
	if !ok {
		return
	}
	if commaSeparated(h.list) || ev.isProxy(first.addr) || first.addr == client.addr {
		ev.setClientHop(client)
	}
}

// commaSeparated reports whether list is one list, of proxies each of which added the address of its peer: then none is the peer of the
// server.
func commaSeparated(list string) bool {
	return strings.Count(strings.ReplaceAll(list, ", ", ","), " ") == 0
}
