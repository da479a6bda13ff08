package containerguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/attribution"
	"github.com/ironpost/ironpost/services/containerguard/egress"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// The sensors of Ironpost. A plug-in is a sensor of its own.
const (
	sensorLog        = "log" // all logs are one: whoever makes requests writes into any of them
	sensorPackets    = "packets"
	sensorConnection = "connection"
)

// unlearnedHolds is how long a connection is a sign of which it is not known yet whether it is usual: a container connects to much when it starts.
const unlearnedHolds = 30 * time.Second

// repeatedAfter is when another connection of a container is a sign again: what connects to a new address all the time costs little.
const repeatedAfter = 15 * time.Second

// ownSign is the sign that an alert itself is; without a container it is none, and why says so.
type ownSign struct {
	container string // id
	sign      safety.Sign
	why       string
	answer    *safety.Answer // of a web server, with success
}

// ownSign returns what a says about a container: that it acts for an attacker.
func (e *evaluator) ownSign(ctx context.Context, a *event.Alert) ownSign {
	o := ownSign{sign: safety.Sign{What: event.Printable(a.Title, maxReason), At: a.Time}}
	if e.now.Before(o.sign.At) {
		o.sign.At = e.now
	}
	by := []policy.AttributionMethod{policy.ByID, policy.ByPID}
	transport := ""
	if a.Origin != nil {
		transport = a.Origin.Transport
	}
	switch {
	case a.Severity < event.Medium, a.Trust == event.TrustUnproven, transport == event.TransportScan:
		return ownSign{why: "the alert itself is none"} // a vulnerability is no attack
	case transport == event.TransportPackets && a.Trust == event.TrustKernel && bus.IsModule(a.Module):
		o.sign.Sensor, o.sign.Effect, by = sensorPackets, true, []policy.AttributionMethod{policy.ByAddress}
	case bus.IsModule(a.Module):
		o.sign.Sensor = sensorLog
	default:
		o.sign.Sensor = "plug-in " + event.Printable(a.Module, maxReason)
		o.sign.Effect = a.Trust == event.TrustKernel || a.Trust == event.TrustHost
	}
	if hasVictim(a, by[0]) {
		return ownSign{why: "the alert tells of an attack on the container, not by it"}
	}
	found := attribution.Resolve(ctx, e.inventory, attribution.Query{Alert: a, By: by})
	if len(found.Containers) != 1 {
		return ownSign{why: "the alert itself is none"}
	}
	o.container = found.Containers[0].ID
	if a.Request != nil && o.sign.Sensor == sensorLog {
		e.requireSuccess(a, &o)
	}
	return o
}

// requireSuccess lets o, the sign that the request of a is, be one only if the answer shows that its server did something.
func (e *evaluator) requireSuccess(a *event.Alert, o *ownSign) {
	r := a.Request
	if !r.Succeeded() {
		o.container, o.why = "", fmt.Sprintf("the request was answered with %d, which is no success", r.Status)
		return
	}
	if a.Source == nil || path.Clean(r.Path) != r.Path || strings.ContainsAny(r.Path, `%;\?`) { // another spelling of a path is no other path
		return
	}
	source, err := netip.ParseAddr(a.Source.IP)
	if err != nil {
		return
	}
	source = source.Unmap().WithZone("")
	o.answer = &safety.Answer{
		Place: strings.Join([]string{o.container, r.Method, r.Directory()}, "|"), Path: r.Path,
		Source: networkOf(netip.PrefixFrom(source, source.BitLen())).String(),
	}
	if e.signs != nil && e.signs.AnswersAll(*o.answer, e.now) {
		o.container = ""
		o.why = "the server answers any " + event.Printable(r.Method+" in "+r.Directory(), maxReason) + " with success, so that proves nothing"
	}
}

// hasVictim reports whether the rule of a says that what by finds is the victim.
func hasVictim(a *event.Alert, by policy.AttributionMethod) bool {
	switch by {
	case policy.ByAddress:
		return slices.Contains(a.Rule.Tags, policy.TagSourceVictim)
	case policy.ByTarget:
		return false // a policy that names it wants the victim
	}
	return slices.Contains(a.Rule.Tags, policy.TagLoggerVictim)
}

// refuseVictim says why s is not done about a at all, "" if it may be: its target is not who attacked.
func refuseVictim(a *event.Alert, s *step) string {
	switch {
	case s.kind == policy.BlockSource && hasVictim(a, policy.ByAddress):
		return "the rule describes the source as a victim of the attack"
	case s.kind.OnContainer() && hasVictim(a, s.by):
		return "the rule describes the container as a victim of the attack"
	}
	return ""
}

// requireSigns makes s, if it is to be done, wait for a second independent sign about its container if p requires one that has not come.
func (e *evaluator) requireSigns(a *event.Alert, p *policy.Policy, s *step) {
	if s.outcome != outcomeAct || !s.kind.StopsService() || p.SignsFor(s.kind) < policy.DefaultSigns || slices.Contains(a.Rule.Tags, policy.TagConclusive) {
		return
	}
	if n, _ := p.StepOf(s.kind); p.Steps[n].Approve {
		return // an operator decides
	}
	signs := e.signsAbout(s.container.ID, p.Require.SignsWithin)
	var listed []string
	for _, sign := range signs {
		listed = append(listed, sign.Sensor+" ("+sign.What+")")
	}
	list := strings.Join(listed, ", ")
	if safety.Enough(signs) {
		s.reason += "; signs: " + list
		return
	}
	missing := "a second sign"
	if len(signs) > 0 && !signs[0].Effect {
		missing = "an effect of the container itself, such as a connection to an address new to it"
	}
	why := fmt.Sprintf("%d of %d signs within %s", len(signs), p.SignsFor(s.kind), p.Require.SignsWithin)
	if list != "" {
		why += ": " + list
	}
	why += "; missing " + missing
	if e.own.why != "" {
		why += "; " + e.own.why
	}
	s.within = p.Require.SignsWithin
	s.wait(needSign, e.now.Add(p.Require.SignsWithin), proposedOnly+why)
}

// signsAbout returns the signs about a container, that of the alert itself included.
func (e *evaluator) signsAbout(container string, within time.Duration) (signs []safety.Sign) {
	if e.signs != nil {
		signs = e.signs.About(container, within, e.now)
	}
	own := e.own.sign
	known := func(s safety.Sign) bool { return s.Sensor == own.Sensor }
	if e.own.container != container || slices.ContainsFunc(signs, known) || e.now.Sub(own.At) > within {
		return signs
	}
	if own.Effect {
		return append([]safety.Sign{own}, signs...)
	}
	return append(signs, own)
}

// noteOwn remembers the sign that an alert was, and how its request was answered. It reports whether the sign is new.
func (m *memory) noteOwn(e *evaluator) (isNew bool) {
	if e.own.container != "" {
		isNew = m.signs.Note(e.own.container, e.own.sign)
	}
	if e.own.answer != nil {
		m.signs.NoteServer(*e.own.answer, e.now)
	}
	return isNew
}

// wakeSigned has the steps that wait for signs looked at.
func (run *runState) wakeSigned() {
	select {
	case run.signed <- struct{}{}:
	default:
	}
}

// newSensor returns the sensor of the connections that containers begin.
func (s *Service) newSensor(run *runState) *egress.Sensor {
	return egress.New(egress.Options{
		Containers: run.inventory.List, Log: s.log,
		ByAddress: run.containerAt,
		Known: func(c docker.Container, to netip.Addr) bool {
			now := time.Now()
			return run.destinations.Known(purposeOf(c), to, now) || run.connectedNow(c.ID, now)
		},
		Present: func(c docker.Container) { run.destinations.Present(purposeOf(c), time.Now()) },
		Found:   run.noteConnection,
	})
}

// containerAt returns the one container that may have had an address at a time, by another inspection.
func (run *runState) containerAt(ctx context.Context, address netip.Addr, at time.Time) (docker.Container, error) {
	found, err := run.inventory.ByAddress(ctx, address, at, 0)
	if uncertain, ok := errors.AsType[*inventory.LookupError](err); ok && len(uncertain.Candidates) == 1 {
		found, err = run.inventory.ByID(uncertain.Candidates[0]) // it started a moment ago
	}
	return found.Container, err
}

// connectedNow reports whether there is a connection of the container already that is a sign as long as another would be.
func (run *runState) connectedNow(container string, now time.Time) bool {
	return slices.ContainsFunc(run.signs.About(container, repeatedAfter, now), func(s safety.Sign) bool {
		return s.Sensor == sensorConnection && s.Holds == 0
	})
}

// noteConnection remembers a connection that a container began as a sign, if it is one.
func (run *runState) noteConnection(_ context.Context, c egress.Connection) {
	now := time.Now()
	isNew, learned := run.destinations.Use(purposeOf(c.Container), c.To.Addr(), now)
	if !isNew {
		return
	}
	sign := safety.Sign{Sensor: sensorConnection, Effect: true, What: "to " + c.To.String() + ", new in 24h", At: now}
	if !learned {
		sign.Holds = unlearnedHolds
	}
	run.signs.Note(c.Container.ID, sign)
	run.wakeSigned()
}

// purposeOf names what c is for, so that the container that replaces it has the same name.
func purposeOf(c docker.Container) string {
	if c.Service != "" {
		return "compose:" + c.Project + "/" + c.Service
	}
	return "name:" + c.Name
}
