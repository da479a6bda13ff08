package detect

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// carpetHosts is how many addresses of a network are hit by a flood that is told for the network instead of each.
	carpetHosts = 8
	// carpetLeast is how many packets each of them gets in a window: a scan sends fewer.
	carpetLeast = 8
)

// carpet is the traffic to one network in one window.
type carpet struct {
	targets []*traffic.Target
	sum     traffic.Target
	hit     [kinds]int     // addresses hit
	most    [kinds]float64 // packets to the address with the most
	counts  windowCounts
}

// evaluateNetworks finds floods that are spread over the addresses of a network, and returns the kinds of flood it found in each.
func (f *floods) evaluateNetworks(w traffic.Window, sources sourceIndex) map[netip.Prefix][kinds]bool {
	if len(w.Targets) < carpetHosts {
		return nil
	}
	byNetwork := map[netip.Prefix][]*traffic.Target{}
	for i := range w.Targets {
		t := &w.Targets[i]
		if !t.Addr.IsMulticast() {
			p := networkOf(t.Addr)
			byNetwork[p] = append(byNetwork[p], t)
		}
	}
	found := map[netip.Prefix][kinds]bool{}
	for p, targets := range byNetwork {
		if len(targets) < carpetHosts {
			continue
		}
		c := f.newCarpet(targets)
		c.addRefused(w)
		v := f.networks[p]
		if v == nil {
			if len(f.networks) >= maxTargets {
				continue
			}
			v = &targetState{}
			f.networks[p] = v
		}
		v.reflected = c.addReflected(w.Egress)
		v.add(c.counts)
		var senders []*traffic.Source
		for _, t := range targets {
			senders = append(senders, sources.byHost[t.Addr]...)
			v.rememberSources(f.targets[t.Addr])
		}
		senders = append(distinct(senders), sources.hostUnknown...)
		var kind [kinds]bool
		for k := range kinds {
			kind[k] = f.finds(k) && c.hit[k] >= carpetHosts && f.evaluate(targetTraffic{w: w, t: &c.sum, v: v, kind: k, senders: senders, network: p, outbound: f.isOutbound()})
		}
		found[p] = kind
	}
	return found
}

func distinct(list []*traffic.Source) []*traffic.Source {
	slices.SortFunc(list, func(a, b *traffic.Source) int { return a.Addr.Compare(b.Addr) })
	return slices.Compact(list)
}

// newCarpet sums the traffic to targets of one network, of which each has been measured.
func (f *floods) newCarpet(targets []*traffic.Target) carpet {
	c := carpet{targets: targets, sum: traffic.Target{First: targets[0].First, Last: targets[0].Last}}
	for _, t := range targets {
		addTarget(&c.sum, t)
		if f.isOutbound() {
			c.sum.SourcesEstimate = c.sum.Sources.Estimate() // it is one source, or there are too many to count
		}
		v := f.targets[t.Addr]
		if v == nil || len(v.windows) == 0 {
			continue
		}
		last := v.windows[len(v.windows)-1]
		c.counts.at, c.counts.duration = last.at, last.duration
		for k := range kinds {
			if last.suspicious[k] >= carpetLeast {
				c.hit[k]++
				c.counts.suspicious[k] += last.suspicious[k]
				c.most[k] = max(c.most[k], last.suspicious[k])
			}
			c.counts.total[k] += last.total[k]
		}
	}
	for k := range kinds {
		if c.hit[k] < carpetHosts || 2*c.most[k] > c.counts.suspicious[k] { // else it is a flood at one address
			c.hit[k], c.counts.suspicious[k] = 0, 0
		}
	}
	if len(c.sum.Sources) > 0 {
		c.sum.SourcesEstimate = c.sum.Sources.Estimate()
	}
	slices.SortFunc(c.sum.TopPorts, func(a, b traffic.PortCount) int { return int(b.Packets) - int(a.Packets) })
	slices.SortFunc(c.sum.Origins, func(a, b traffic.Origin) int { return int(b.Packets) - int(a.Packets) })
	return c
}

// addRefused adds the packets to addresses for which the kernel had no room, in a network that takes up much of it: they are taken to
// be as those to its other addresses.
func (c *carpet) addRefused(w traffic.Window) {
	const many = 64
	if len(c.targets) < many || w.Totals.TargetsRefused == 0 {
		return
	}
	var counted uint64
	for i := range w.Targets {
		counted += w.Targets[i].Packets
	}
	factor := 1 + float64(w.Totals.TargetsRefused)/float64(max(1, counted))
	for k := range kinds {
		c.counts.suspicious[k] *= factor
		c.counts.total[k] *= factor
	}
}

// addReflected counts as reflected what is seen to be only in the sum, because each address has few senders.
func (c *carpet) addReflected(egress bool) []traffic.Origin {
	origins, n := reflectedPackets(&c.sum, egress)
	more := min(n-c.counts.suspicious[kindReflectedUDP], c.counts.suspicious[kindUDP])
	if more > 0 {
		c.counts.suspicious[kindReflectedUDP] += more
		c.counts.total[kindReflectedUDP] += more
		c.counts.suspicious[kindUDP] -= more
		c.hit[kindReflectedUDP] = max(c.hit[kindReflectedUDP], c.hit[kindUDP])
	}
	return origins
}

// addTarget adds the traffic to t to sum.
func addTarget(sum, t *traffic.Target) {
	sum.Packets += t.Packets
	sum.Bytes += t.Bytes
	for c, n := range t.ByClass {
		sum.ByClass[c] += n
	}
	sum.SYN += t.SYN
	sum.SYNACKOut += t.SYNACKOut
	sum.RSTOut += t.RSTOut
	sum.ACKCompleted += t.ACKCompleted
	sum.Fragmented += t.Fragmented
	if len(sum.Sources) < len(t.Sources) {
		sum.Sources = slices.Clone(t.Sources)
	} else {
		sum.Sources.Merge(t.Sources)
	}
	sum.SourcesEstimate += t.SourcesEstimate // an upper bound
	for _, p := range t.TopPorts {
		i := slices.IndexFunc(sum.TopPorts, func(have traffic.PortCount) bool { return have.Port == p.Port })
		if i < 0 {
			i = len(sum.TopPorts)
			sum.TopPorts = append(sum.TopPorts, traffic.PortCount{Port: p.Port})
		}
		sum.TopPorts[i].Packets += p.Packets
	}
	for _, o := range t.Origins {
		sum.AddOrigin(o)
	}
	for i, n := range t.Slices {
		sum.Slices[i] += n
	}
	if t.First.Before(sum.First) {
		sum.First = t.First
	}
	if t.Last.After(sum.Last) {
		sum.Last = t.Last
	}
}
