package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// maxHostUnknown bounds the sources whose target is unknown; the busiest come first.
const maxHostUnknown = 64

// sourceIndex finds the recorded sources of a window.
type sourceIndex struct {
	byAddr      map[netip.Addr]*traffic.Source
	byHost      map[netip.Addr][]*traffic.Source // by sampled target
	calls       map[netip.Addr]uint64            // outgoing SYN by sender
	hostUnknown []*traffic.Source                // records show targets of probes only: a source without probes may have sent to any
}

func indexSources(w traffic.Window) sourceIndex {
	index := sourceIndex{byAddr: make(map[netip.Addr]*traffic.Source, len(w.Sources)), byHost: map[netip.Addr][]*traffic.Source{}, calls: map[netip.Addr]uint64{}}
	for i := range w.Outgoing {
		index.calls[w.Outgoing[i].Sender.Addr()] += w.Outgoing[i].SYN
	}
	for i := range w.Sources {
		src := &w.Sources[i]
		index.byAddr[src.Addr] = src
		for _, host := range src.SampleHosts {
			index.byHost[host] = append(index.byHost[host], src)
		}
		if len(src.SampleHosts) == 0 && len(index.hostUnknown) < maxHostUnknown {
			index.hostUnknown = append(index.hostUnknown, src)
		}
	}
	return index
}

// sendingTo returns the sources that sent, or may have sent, to host.
func (s sourceIndex) sendingTo(host netip.Addr) []*traffic.Source {
	return slices.Concat(s.byHost[host], s.hostUnknown)
}
