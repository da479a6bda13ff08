package containerguard

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

const (
	// maxUnprovenBlock is the longest block of an address that a line names which anyone can have written, and of one that
	// connected after the alert only: the lines may have been forged about whoever connects.
	maxUnprovenBlock = 10 * time.Minute
	// connectionSlack is how long before an alert a connection may have ended: times in lines are whole seconds, and
	// a server may write its line after it closed the connection.
	connectionSlack = 10 * time.Second
)

// limitTrust lowers the trust that a claims to what its module may claim. A plug-in that claims none
// has what the operator gave it.
func (s *Service) limitTrust(ctx context.Context, a *event.Alert) error {
	return limitTrust(ctx, s.deps.Bus.Ceiling, a)
}

// Ceiling returns the strongest trust that module on host may claim, as Conn.Ceiling of package bus does.
type Ceiling func(ctx context.Context, module, host string) (event.Trust, error)

func limitTrust(ctx context.Context, of Ceiling, a *event.Alert) error {
	ceiling, err := of(ctx, a.Module, a.Host)
	if err != nil {
		return fmt.Errorf("trust of the module %s: %w", a.Module, err)
	}
	claim := a.ClaimedTrust()
	if a.Trust == "" && !bus.IsModule(a.Module) {
		claim = ceiling
	}
	a.Trust = claim.AtMost(ceiling)
	return nil
}

// limit turns the steps that the trust of a does not bear into dry runs that say why, and those that come later. A notification harms
// nothing, and a policy may say that it needs no proof.
func (e *evaluator) limit(a *event.Alert, decisions []decision) {
	for _, d := range decisions {
		for i := range d.steps {
			s := &d.steps[i]
			switch victim := refuseVictim(a, s); {
			case s.kind == policy.Notify, s.outcome != outcomeAct, d.policy.Require.NoProof:
			case victim != "":
				s.outcome, s.reason = outcomeSkip, victim
			case s.kind == policy.BlockSource:
				e.limitBlock(a, s)
			default:
				e.propose(a, s, refuseContainer(a, s.container))
				e.requireSigns(a, d.policy, s)
			}
			if s.outcome == outcomeAct {
				e.stage(a, d, s)
			}
		}
	}
}

const proposedOnly = "proposed only: "

// propose makes s a dry run for the reason why, unless that is "", until there is better evidence.
func (e *evaluator) propose(a *event.Alert, s *step, why string) {
	if why != "" {
		s.wait(needEvidence, e.evidenceUntil(a), proposedOnly+why)
	}
}

// refuseContainer says why an alert may not cause an action on c, "" if it may.
func refuseContainer(a *event.Alert, c docker.Container) string {
	switch a.Trust {
	case event.TrustKernel, event.TrustHost, event.TrustPeer:
		return ""
	case event.TrustContainer:
		named := a.Container
		scanned := a.Origin != nil && a.Origin.Transport == event.TransportScan
		if named != nil && (named.ID == c.ID || scanned && named.Image != "" && named.Image == c.Image) {
			return ""
		}
		return "the output of a container proves nothing about another one"
	}
	return unproven(a)
}

// unproven says that anyone may have caused a.
func unproven(a *event.Alert) string {
	if !bus.IsModule(a.Module) {
		return "the plug-in " + a.Module + " is unproven"
	}
	transport := "an unknown origin"
	if a.Origin != nil {
		transport = cmp.Or(event.Printable(a.Origin.Transport, maxReason), transport)
	}
	return "the alert is unproven: anyone may have written its line (" + transport + ")"
}

// limitBlock makes the block of an address that the kernel did not see in packets a proposal, unless it saw the
// address connect to the service, or the container, that the alert is about. An unproven one lasts 10 minutes at most.
func (e *evaluator) limitBlock(a *event.Alert, s *step) {
	if a.Trust == event.TrustKernel {
		return
	}
	q, why := e.query(s.address, a)
	seen := false
	if q != nil {
		seen, why = e.connected(*q)
	}
	s.assumed = seen && e.connections == nil
	switch {
	case !seen && a.Trust == event.TrustUnproven:
		e.propose(a, s, unproven(a)+", and "+why)
	case !seen:
		e.propose(a, s, why)
	case a.Trust == event.TrustUnproven || e.late:
		s.maxTTL = maxUnprovenBlock
	}
	if !seen && q != nil && a.Service == "sshd" { // customers connect to other services, too
		s.need, s.query = needConnection, q
	}
}

// blockHosts returns where the block of st holds: one that rests on weak evidence on this host alone.
func blockHosts(a *event.Alert, st step, host string) bus.Hosts {
	if a.Trust == event.TrustUnproven || a.Trust == event.TrustPeer || st.maxTTL > 0 {
		return bus.HostsOf(host)
	}
	return ""
}

// connected reports whether the kernel saw the connection of q; if not, why says so.
// "policies test" and "policies simulate" have no kernel to ask: they take the connection for seen.
func (e *evaluator) connected(q connection.Query) (seen bool, why string) {
	if e.connections == nil {
		return true, ""
	}
	to := event.Printable(q.Service, maxReason)
	if q.Container != nil {
		to = containerTarget(q.Container.ID)
	}
	seen, err := e.connections.Inbound(q)
	switch {
	case seen:
		return true, ""
	case err != nil:
		return false, "it is not known whether " + q.Remote.String() + " connected to " + to + ": " + err.Error()
	}
	return false, "the kernel saw no connection from " + q.Remote.String() + " to " + to
}

// query asks for the connection of addr that proves a: to the service, or to the container whose output a is. If there is nothing to ask,
// why says so.
func (e *evaluator) query(addr netip.Addr, a *event.Alert) (q *connection.Query, why string) {
	since := e.now.Add(-connectionSlack)
	if first := a.FirstSeen.Add(-connectionSlack); first.Before(since) {
		since = first
	}
	q = &connection.Query{Remote: addr, Service: a.Service, Since: since}
	if a.Trust != event.TrustContainer {
		if a.Service == "" {
			return nil, "it does not say which service " + addr.String() + " attacked"
		}
		return q, ""
	}
	if a.Container == nil || a.Container.ID == "" {
		return nil, "it does not say which container " + addr.String() + " attacked"
	}
	if q.Container = e.container(a.Container.ID); q.Container == nil {
		return nil, "the container " + containerTarget(a.Container.ID) + ", which " + addr.String() + " may have attacked, is not known"
	}
	return q, ""
}

// container returns where connections to the container with an id are seen, nil if it is not known. It keeps the addresses that a
// waiting step noted: an isolated container has none.
func (e *evaluator) container(id string) *connection.Container {
	found, err := e.inventory.ByID(id)
	if err != nil {
		return nil
	}
	c := found.Container
	if owner, shared := strings.CutPrefix(c.NetworkMode, "container:"); shared {
		if found, err = e.inventory.ByID(owner); err != nil {
			return nil
		}
		c.NetworkMode, c.Networks = found.Container.NetworkMode, found.Container.Networks
	}
	out := &connection.Container{ID: c.ID, PID: c.PID, Host: c.NetworkMode == "host"}
	for _, n := range c.Networks {
		for _, addr := range []netip.Addr{n.IPv4, n.IPv6} {
			if addr.IsValid() {
				out.Addresses = append(out.Addresses, addr)
			}
		}
	}
	if before := e.waiting; len(out.Addresses) == 0 && before != nil {
		if q := before.query(); q != nil && q.Container != nil && q.Container.ID == c.ID {
			out.Addresses = q.Container.Addresses
		}
	}
	return out
}

// evidenceSource names where the evidence of a came from, without what the writer of a line may choose: the sender of
// a datagram can be forged, a port changes, and so does an IPv6 address within its /64. What a plug-in says of the origin is its claim: all of it is one source.
func evidenceSource(a *event.Alert) string {
	o := a.Origin
	if o == nil || !bus.IsModule(a.Module) {
		return a.Module
	}
	peer := ""
	if o.Transport != event.TransportSyslogUDP {
		if host, _, err := net.SplitHostPort(o.Peer); err == nil {
			peer = host
		}
		if addr, err := netip.ParseAddr(peer); err == nil && addr.Unmap().Is6() {
			network, _ := addr.Unmap().WithZone("").Prefix(widenedBits)
			peer = network.String()
		}
	}
	return strings.Join([]string{a.Module, o.Transport, peer, o.Unit, o.Source, o.Container}, "|")
}
