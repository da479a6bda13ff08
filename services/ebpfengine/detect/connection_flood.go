package detect

import (
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// connectionSpan is the time over which a source's connection rate is averaged.
	connectionSpan = 10 * time.Second
	// sustainedWindows is in how many windows of it the rate is reached: a burst, such as that of a
	// benchmark or of a page of thousands of pictures, is no flood.
	sustainedWindows = 5
	// maxConnectors bounds the sources in memory; the kernel records no more.
	maxConnectors = 4096

	countConnections = "connections"
)

// connector is a source that opens connections.
type connector struct {
	windows []connectionCount // of the last connectionSpan
	attack  *attack
}

type connectionCount struct {
	at    time.Time
	count float64
}

// checkConnections finds sources that complete handshakes too fast.
func (f *floods) checkConnections(w traffic.Window) {
	for i := range w.Sources {
		src := &w.Sources[i]
		if n := completedConnections(src, w.Egress); n > 0 && len(src.SampleHosts) > 0 {
			f.addConnections(src, w, n)
		}
	}
	for addr, c := range f.connectors {
		if w.End.Sub(c.windows[len(c.windows)-1].at) > floodIdle {
			delete(f.connectors, addr)
		}
	}
}

// completedConnections returns how many connections src opened in a window: SYN with an ACK
// that the target did not answer with RST. An attacker who forges src cannot know what to acknowledge.
func completedConnections(src *traffic.Source, egress bool) float64 {
	syn, ack := src.ByClass[traffic.TCPSYN], src.ByClass[traffic.TCPACK]+src.ByClass[traffic.TCPFINACK]
	if egress {
		ack = min(ack-min(ack, src.RSTWithoutACK), src.Answered)
	}
	return float64(min(syn, ack))
}

func (f *floods) addConnections(src *traffic.Source, w traffic.Window, n float64) {
	c := f.connectors[src.Addr]
	if c == nil {
		if len(f.connectors) >= maxConnectors {
			return
		}
		c = &connector{}
		f.connectors[src.Addr] = c
	}
	c.windows = append(c.windows, connectionCount{at: w.End, count: n})
	for len(c.windows) > 1 && w.End.Sub(c.windows[0].at) >= connectionSpan {
		c.windows = c.windows[1:]
	}
	limit := float64(f.cfg.ConnectionsPerSec)
	sum, sustained := 0.0, 0
	for _, window := range c.windows {
		sum += window.count
		if window.count >= limit/2 {
			sustained++
		}
	}
	rate := sum / max(connectionSpan, w.End.Sub(w.Start)).Seconds()
	if rate < limit/2 || (c.attack == nil && (rate < limit || sustained < sustainedWindows)) { // a running flood goes on down to half the limit
		return
	}
	if c.attack == nil || c.attack.ended {
		id := identity{name: ConnectionFlood, actor: src.Addr.String(), target: src.SampleHosts[0]}
		if len(src.SamplePorts) > 0 && src.Ports.Count() == 1 {
			id.port = src.SamplePorts[0]
		}
		c.attack = f.attacks.start(id, src.First, w.End)
		c.attack.idle = floodIdle
	}
	c.attack.addConnections(src, w, uint64(n))
}

// addConnections adds a window of a connection flood.
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
