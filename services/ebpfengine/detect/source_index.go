package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// maxHostUnknown bounds the sources that may have sent to any target; the busiest come first.
const maxHostUnknown = 64

// sourceIndex finds the promoted sources of a window.
type sourceIndex struct {
	addr     map[netip.Addr]*traffic.Source
	host     map[netip.Addr][]*traffic.Source // by whom they were seen to send to
	anywhere []*traffic.Source                // a record shows hosts for probes only: who sent none may have reached any
}

func indexSources(w traffic.Window) sourceIndex {
	by := sourceIndex{addr: make(map[netip.Addr]*traffic.Source, len(w.Sources)), host: map[netip.Addr][]*traffic.Source{}}
	for i := range w.Sources {
		src := &w.Sources[i]
		by.addr[src.Addr] = src
		for _, host := range src.SampleHosts {
			by.host[host] = append(by.host[host], src)
		}
		if len(src.SampleHosts) == 0 && len(by.anywhere) < maxHostUnknown {
			by.anywhere = append(by.anywhere, src)
		}
	}
	return by
}

// to returns those that sent to host, or may have.
func (s sourceIndex) to(host netip.Addr) []*traffic.Source {
	return slices.Concat(s.host[host], s.anywhere)
}
