package detect

import (
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// connectionSpan is how long a source must open connections too fast, on average.
	connectionSpan = 5 * time.Second
	// maxConnectors bounds who is watched for it; the kernel promotes no more.
	maxConnectors = 4096

	countConnections = "connections"
)

// connector is a source that opens connections.
type connector struct {
	windows []connectionCount
	flood   *attack
}

type connectionCount struct {
	at    time.Time
	count float64
}

// checkConnections looks for sources that complete handshakes too fast.
func (f *floods) checkConnections(w traffic.Window) {
	for i := range w.Sources {
		src := &w.Sources[i]
		if n := completedConnections(src, w.Egress); n > 0 && len(src.SampleHosts) > 0 {
			f.addConnections(src, w, n)
		}
	}
	for addr, o := range f.connectors {
		if w.End.Sub(o.windows[len(o.windows)-1].at) > floodIdle {
			delete(f.connectors, addr)
		}
	}
}

// completedConnections is how many connections src opened in a window, as far as seen: a SYN and at least one ACK for it that was not
// disproved: whoever forges src cannot know what to acknowledge.
func completedConnections(src *traffic.Source, egress bool) float64 {
	syn, ack := src.ByClass[traffic.TCPSYN], src.ByClass[traffic.TCPACK]+src.ByClass[traffic.TCPFINACK]
	if egress {
		ack = min(ack-min(ack, src.RSTWithoutACK), src.Answered)
	}
	return float64(min(syn, ack))
}

func (f *floods) addConnections(src *traffic.Source, w traffic.Window, n float64) {
	o := f.connectors[src.Addr]
	if o == nil {
		if len(f.connectors) >= maxConnectors {
			return
		}
		o = &connector{}
		f.connectors[src.Addr] = o
	}
	o.add(connectionCount{at: w.End, count: n})
	limit := float64(f.cfg.ConnectionsPerSec)
	if rate := o.rate(w); rate < limit/2 || (rate < limit && o.flood == nil) {
		return
	}
	if o.flood == nil || o.flood.ended {
		o.flood = f.attacks.begin(connectionFloodID(src), src.First, w.End)
		o.flood.idle = floodIdle
	}
	o.flood.addConnections(src, w, uint64(n))
}

func (o *connector) add(n connectionCount) {
	o.windows = append(o.windows, n)
	for len(o.windows) > 1 && n.at.Sub(o.windows[0].at) >= connectionSpan {
		o.windows = o.windows[1:]
	}
}

func (o *connector) rate(w traffic.Window) float64 {
	var sum float64
	for _, n := range o.windows {
		sum += n.count
	}
	return sum / max(connectionSpan, w.End.Sub(w.Start)).Seconds()
}

func connectionFloodID(src *traffic.Source) identity {
	id := identity{name: ConnectionFlood, actor: src.Addr.String(), target: src.SampleHosts[0]}
	if len(src.SamplePorts) > 0 && src.Ports.Count() == 1 {
		id.port = src.SamplePorts[0]
	}
	return id
}

func (a *attack) addConnections(src *traffic.Source, w traffic.Window, n uint64) {
	a.last, a.changed = w.End, true
	seconds := max(w.End.Sub(w.Start).Seconds(), time.Millisecond.Seconds())
	a.counts[countConnections] += n
	a.counts[countPackets] += src.Packets
	a.counts[countBytes] += src.Bytes
	a.counts[countPerSecond] = uint64(float64(src.Packets) / seconds)
	a.counts[countPeak] = max(a.counts[countPeak], a.counts[countPerSecond])
	a.counts[countHosts] = uint64(src.Hosts.Estimate() + 0.5)
	if !w.Egress {
		a.missing[MissingEgress] = true
	}
	for _, host := range src.SampleHosts {
		a.showHost(host)
	}
}
