package detect

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
)

const (
	// noticeInterval is the least time between two notices about a source, and for how long its hosts are counted.
	noticeInterval = time.Hour
	// maxNotices bounds the sources in memory, and noticesPerWindow the notices of a window.
	maxNotices, noticesPerWindow = 1024, 8
	// noticePorts is how many tries in vain of a peer of a network of peers go to a host at most, on average.
	noticePorts = 2
)

// discoveryPorts are the UDP ports at which devices of one network look for each other and
// ask each other directly, with the names of the protocols.
var discoveryPorts = map[uint16]string{
	137: "netbios", 138: "netbios", 427: "slp", 1900: "ssdp", 3702: "ws-discovery", 5353: "mdns", 5355: "llmnr", 5678: "mndp",
	8610: "bjnp", 8611: "bjnp", 8612: "bjnp", 8613: "bjnp", 8614: "bjnp", 10_001: "ubiquiti", 17_500: "dropbox", 27_036: "steam", 57_621: "spotify",
}

// isDiscoveryPort reports whether a port is one of discoveryPorts.
func isDiscoveryPort(port uint16) bool { return discoveryPorts[port] != "" }

// notices tell, once in an hour, of a source that would be a scanner were it not for what its packets are.
type notices struct {
	hosts    int // from how many on
	subjects map[subject]*notice
	due      []Detection
}

// subject is what a notice is about.
type subject struct {
	source       netip.Addr
	name, method string
	outbound     bool
}

type notice struct {
	first, last, told time.Time
	hosts             []netip.Addr // sorted, up to the limit
	port              uint16
}

func newNotices(cfg Config) *notices {
	return &notices{hosts: cfg.ScanHosts, subjects: map[subject]*notice{}}
}

// see takes a sample that is no probe, and counts the host if it is discovery of one.
func (n *notices) see(s traffic.Sample) {
	port, host := s.Target.Port(), s.Target.Addr()
	if s.Class != traffic.UDP || s.Outcome != traffic.Open || s.Reply || !isDiscovery(s.Source.Addr(), port) || isBroadcast(host) {
		return
	}
	n.add(subject{source: s.Source.Addr(), name: Discovery, method: discoveryPorts[port], outbound: s.Outbound}, port, s.Time, host)
}

// add counts hosts of a subject, and makes a notice due if they are enough to be a scan.
func (n *notices) add(about subject, port uint16, at time.Time, hosts ...netip.Addr) {
	state := n.subjects[about]
	if state == nil {
		if len(n.subjects) >= maxNotices {
			return
		}
		state = &notice{first: at}
		n.subjects[about] = state
	}
	state.last, state.port = at, port
	for _, host := range hosts {
		if i, found := slices.BinarySearchFunc(state.hosts, host, netip.Addr.Compare); !found && len(state.hosts) < n.hosts {
			state.hosts = slices.Insert(state.hosts, i, host)
		}
	}
	untold := state.told.IsZero() || at.Sub(state.told) >= noticeInterval
	if !untold || len(state.hosts) < n.hosts || len(n.due) >= noticesPerWindow {
		return
	}
	n.due = append(n.due, state.detection(about))
	state.first, state.told, state.hosts = at, at, nil
}

// detection returns the record of a notice. It is of no phase, since it is no attack.
func (s *notice) detection(about subject) Detection {
	direction := ""
	if about.outbound {
		direction = Outbound
	}
	var hosts []string
	for _, host := range s.hosts[:min(len(s.hosts), maxShownHosts)] {
		hosts = append(hosts, host.String())
	}
	d := Detection{Began: s.first, TrafficFinding: event.TrafficFinding{
		Name: about.name, Method: about.method, Actor: about.source.String(), Direction: direction,
		Target: event.Endpoint{IP: s.hosts[0].String()}, Hosts: hosts, DurationMS: s.last.Sub(s.first).Milliseconds(),
		Counts: map[string]uint64{countRecord: 1, countHosts: uint64(len(s.hosts))},
	}}
	if about.name == Discovery {
		d.Target.Port = s.port
	}
	return d
}

// take returns the notices of a window that ended, and forgets sources that are silent.
func (n *notices) take(w traffic.Window) []Detection {
	due := n.due
	for i := range due {
		due[i].Interface, due[i].Time, due[i].Sampling, due[i].Lost = w.Interface, w.End, w.Sampling, w.Lost
	}
	n.due = nil
	for about, state := range n.subjects {
		if w.End.Sub(state.last) >= noticeInterval {
			delete(n.subjects, about)
		}
	}
	return due
}

// peers returns the hosts that a program that shares files tries: another port of each of many.
func (r scanRules) peers(failed []attempt, m method) []netip.Addr {
	hosts, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	tries := 0
	for _, a := range failed {
		if a.method == m && a.port > lastSystemPort {
			hosts[a.host], ports[a.port] = true, true
			tries++
		}
	}
	if len(hosts) < r.hosts || 2*len(ports) < len(hosts) || tries > noticePorts*len(hosts) {
		return nil
	}
	var out []netip.Addr
	for host := range hosts {
		out = append(out, host)
	}
	return out
}

// noticePeers counts the peers that a source without a scan tries in vain.
func (d *scans) noticePeers(p *sourceState, failed []attempt, now time.Time) {
	if !p.actor.IsSingleIP() {
		return
	}
	for _, m := range []method{bySYN, byUDP} {
		if peers := d.rules.peers(failed, m); peers != nil {
			d.notices.add(subject{source: p.actor.Addr(), name: PeerToPeer, method: m.String(), outbound: d.rules.outbound}, 0, now, peers...)
		}
	}
}
