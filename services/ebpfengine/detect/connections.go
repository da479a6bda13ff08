package detect

import (
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// openSpan is how long a source must open connections too fast, on average.
	openSpan = 5 * time.Second
	// maxOpeners bounds who is watched for it; the kernel promotes no more.
	maxOpeners = 4096

	countConnections = "connections"
)

// opener is a source that opens connections.
type opener struct {
	windows []opened
	flood   *attack
}

type opened struct {
	at    time.Time
	count float64
}

// connections looks for sources that complete handshakes too fast.
func (f *floods) connections(w traffic.Window) {
	for i := range w.Sources {
		src := &w.Sources[i]
		if n := completedBy(src, w.Egress); n > 0 && len(src.SampleHosts) > 0 {
			f.opening(src, w, n)
		}
	}
	for addr, o := range f.openers {
		if w.End.Sub(o.windows[len(o.windows)-1].at) > floodIdle {
			delete(f.openers, addr)
		}
	}
}

// completedBy is how many connections src opened in a window, as far as seen: a SYN and at least one ACK for it that was not
// disproved: whoever forges src cannot know what to acknowledge.
func completedBy(src *traffic.Source, egress bool) float64 {
	syn, ack := src.ByClass[traffic.TCPSYN], src.ByClass[traffic.TCPACK]+src.ByClass[traffic.TCPFINACK]
	if egress {
		ack = min(ack-min(ack, src.RSTWithoutACK), src.Answered)
	}
	return float64(min(syn, ack))
}

func (f *floods) opening(src *traffic.Source, w traffic.Window, n float64) {
	o := f.openers[src.Addr]
	if o == nil {
		if len(f.openers) >= maxOpeners {
			return
		}
		o = &opener{}
		f.openers[src.Addr] = o
	}
	o.add(opened{at: w.End, count: n})
	limit := float64(f.cfg.ConnectionsPerSec)
	if rate := o.rate(w); rate < limit/2 || (rate < limit && o.flood == nil) {
		return
	}
	if o.flood == nil || o.flood.over {
		o.flood = f.running.begin(openID(src), src.First, w.End)
		o.flood.idle = floodIdle
	}
	o.flood.connected(src, w, uint64(n))
}

func (o *opener) add(n opened) {
	o.windows = append(o.windows, n)
	for len(o.windows) > 1 && n.at.Sub(o.windows[0].at) >= openSpan {
		o.windows = o.windows[1:]
	}
}

func (o *opener) rate(w traffic.Window) float64 {
	var sum float64
	for _, n := range o.windows {
		sum += n.count
	}
	return sum / max(openSpan, w.End.Sub(w.Start)).Seconds()
}

func openID(src *traffic.Source) identity {
	id := identity{name: ConnectionFlood, actor: src.Addr.String(), target: src.SampleHosts[0]}
	if len(src.SamplePorts) > 0 && src.Ports.Count() == 1 {
		id.port = src.SamplePorts[0]
	}
	return id
}

func (a *attack) connected(src *traffic.Source, w traffic.Window, n uint64) {
	a.last, a.fresh = w.End, true
	seconds := max(w.End.Sub(w.Start).Seconds(), time.Millisecond.Seconds())
	a.counts[countConnections] += n
	a.counts[countPackets] += src.Packets
	a.counts[countBytes] += src.Bytes
	a.counts[countPerSecond] = uint64(float64(src.Packets) / seconds)
	a.counts[countPeak] = max(a.counts[countPeak], a.counts[countPerSecond])
	a.counts[countHosts] = uint64(src.Hosts.Estimate() + 0.5)
	if !w.Egress {
		a.lacking[MissingEgress] = true
	}
	for _, host := range src.SampleHosts {
		a.showHost(host)
	}
}
