package detect

import (
	"maps"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// outboundSYN is how many times Config.SYNFloodPPS a flood by this machine has: the clients of a service that does not answer
	// are many.
	outboundSYN = 20
	// outboundWindows is in how many windows of rateSpan it is seen: whether a new conversation is answered may be known a window later.
	outboundWindows = 2
	// conversing is the least share of UDP that comes back in a conversation. A receiver of bulk data acknowledges many packets at once.
	conversing = 0.01
	// maxPeers bounds the answered conversations in memory, and peerMemory is for how long one counts after an answered try: longer than
	// the two minutes after which a try of it is sampled again.
	maxPeers   = 8192
	peerMemory = 3 * time.Minute
	// perAnswer is how many packets one answer excuses. The other end of a tunnel sends one in ten seconds, whatever it receives.
	perAnswer = 1_000_000
)

// peers are the ends of UDP conversations with this machine that were answered, whichever side began: what is sent to them is no
// flood.
type peers struct {
	known map[netip.AddrPort]conversation
}

type conversation struct {
	until time.Time
	sent  uint64 // since the target answered last
}

// sample takes the outcome of a try, of either direction.
func (p *peers) sample(s traffic.Sample) {
	if s.Class != traffic.UDP || s.Outcome != traffic.Answered {
		return
	}
	if p.known == nil {
		p.known = map[netip.AddrPort]conversation{}
	}
	end := s.Source
	if s.Outbound {
		end = s.Target
	}
	if _, known := p.known[end]; !known && len(p.known) >= maxPeers {
		for some := range p.known {
			delete(p.known, some)
			break
		}
	}
	p.known[end] = conversation{until: s.Time.Add(peerMemory)}
}

// packetsTo returns how many UDP packets of a target went to its ends of answered conversations, at most perAnswer to each since the target
// answered last. Only an answered try of the port itself makes it count for longer.
func (p *peers) packetsTo(o *traffic.Outgoing, answers bool, now time.Time) float64 {
	var sum uint64
	for _, port := range o.TopPorts {
		end := netip.AddrPortFrom(o.Addr, port.Port)
		to, found := p.known[end]
		if !found || !now.Before(to.until) {
			continue
		}
		if answers {
			to.sent = 0
		}
		to.sent += min(port.Packets, perAnswer+1)
		p.known[end] = to
		if to.sent <= perAnswer {
			sum += port.Packets
		}
	}
	return float64(sum)
}

func (p *peers) forget(now time.Time) {
	maps.DeleteFunc(p.known, func(_ netip.AddrPort, to conversation) bool { return now.After(to.until) })
}

// endOutgoing evaluates the outgoing packets of a window.
func (f *floods) endOutgoing(w traffic.Window) {
	sources := indexSources(w)
	out := traffic.Window{Interface: w.Interface, Start: w.Start, End: w.End, Egress: w.Egress}
	for i := range w.Outgoing {
		o := &w.Outgoing[i]
		if isBroadcast(o.Addr) {
			continue
		}
		peer := sources.byAddr[o.Addr]
		if peer == nil {
			peer = &traffic.Source{}
		}
		t := targetOf(o, peer)
		v := f.target(o.Addr)
		v.remember(o)
		v.add(measure(&t, out, f.answered(o, peer, w.End), float64(f.cfg.TCPFloodPPS)))
		out.Targets = append(out.Targets, t)
	}
	f.evaluateAll(out, sourceIndex{})
	f.forgetIdle(w.End)
	f.peers.forget(w.End)
}

// targetOf returns outgoing packets as those to a target. peer is the record of what the target sent.
func targetOf(o *traffic.Outgoing, peer *traffic.Source) traffic.Target {
	t := traffic.Target{
		Addr: o.Addr, Packets: o.Packets(), Bytes: o.Bytes, SYN: o.SYN, ACKCompleted: o.Completed,
		SYNACKOut: peer.ByClass[traffic.TCPSYNACK], RSTOut: peer.ByClass[traffic.TCPRST],
		TopPorts: o.TopPorts, Sources: o.Senders, SourcesEstimate: o.Senders.Estimate(),
	}
	t.ByClass[traffic.TCPSYN], t.ByClass[traffic.TCPACK] = o.SYN, o.Completed
	t.ByClass[traffic.UDP], t.ByClass[traffic.ICMPEcho] = o.UDP, o.ICMP
	return t
}

// answered counts the packets to a target that it answers.
func (f *floods) answered(o *traffic.Outgoing, peer *traffic.Source, now time.Time) legitimate {
	answers := peer.Replies > 0 && peer.ByClass[traffic.UDP] > 0
	known := legitimate{replies: f.peers.packetsTo(o, answers, now), pings: float64(peer.ByClass[traffic.ICMPOther])}
	if float64(peer.ByClass[traffic.UDP]) >= conversing*float64(o.UDP) {
		known.replies = float64(o.UDP)
	}
	return known
}

// remember takes over who sent the latest outgoing packet.
func (v *targetState) remember(o *traffic.Outgoing) {
	k, port := kindICMP, uint16(0)
	switch o.Proto {
	case protoTCP:
		k, port = kindSYN, o.Port
	case protoUDP:
		k, port = kindUDP, o.Port
	}
	v.lastSource[k] = o.Sender.Addr()
	v.flows[k] = [2]Flow{{Proto: o.Proto, Source: o.Sender, Target: netip.AddrPortFrom(o.Addr, port)}, v.flows[k][0]}
}
