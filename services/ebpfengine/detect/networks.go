package detect

import (
	"net/netip"
	"slices"
)

const (
	// Networks are summed up by these lengths: an IPv6 subscriber has a /64 or more, and who
	// rents IPv4 addresses gets them from a /24.
	networkBits4, networkBits6 = 24, 64
	// leastMembers is how many addresses of a network a scan needs to be that of the network.
	leastMembers = 3
	// An IPv4 /24 may be of several subscribers, who fail independently: its limits are larger.
	sharedFactor = 2
)

// networkOf returns the network that addr is summed up in.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := networkBits6
	if addr.Is4() {
		bits = networkBits4
	}
	network, _ := addr.Prefix(bits)
	return network
}

// addToNetwork adds an attempt to those of its network.
func (d *scans) addToNetwork(a attempt) {
	if d.networks == nil {
		return
	}
	p := d.networks.get(networkOf(a.by))
	p.last = a.at
	if sc := p.scanOf(a.probe); sc != nil {
		sc.add(a)
		return
	}
	p.add(a)
}

// removeScanned removes from a network's attempts those of sources that scan by themselves.
func (d *scans) removeScanned(p *sourceState) {
	if p.actor.IsSingleIP() {
		return
	}
	p.attempts = slices.DeleteFunc(p.attempts, func(a attempt) bool {
		source := d.sources.find(single(a.by))
		return source != nil && source.scanOf(a.probe) != nil
	})
}

// ofNetwork returns the limits for a network, and the least number of its addresses.
func (r scanRules) ofNetwork(network netip.Prefix) (limits scanRules, members int) {
	switch {
	case network.IsSingleIP():
		return r, 1
	case network.Addr().Is4():
		r.ports = min(sharedFactor*r.ports, maxAttempts)
		r.hosts = min(sharedFactor*r.hosts, maxAttempts)
		r.sweep = min(sharedFactor*r.sweep, maxAttempts)
	}
	return r, leastMembers
}

// members returns how many addresses made the attempts.
func members(attempts []attempt) int {
	seen := map[netip.Addr]bool{}
	for _, a := range attempts {
		seen[a.by] = true
	}
	return len(seen)
}
