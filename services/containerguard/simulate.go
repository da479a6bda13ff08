package containerguard

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	maxSimulatedHosts = 250    // alerts of others are only counted
	maxSimulatedSteps = 20_000 // what is listed; beyond it steps are only counted
	// maxSimulatedIsolated is how many containers of one host are isolated at a time if it is not known how many run.
	maxSimulatedIsolated = 10_000
)

// SimulationOptions say what is simulated.
type SimulationOptions struct {
	Config   Config // AutoIsolate is taken for true
	Policies *policy.Set
	Ceiling  Ceiling // nil: plug-ins are unproven
	Running  int     // containers on each host, for the cap on the share of them; 0: not known
}

// Simulation decides about alerts of the past as the guards of their hosts would have: with the same policies, trust,
// corroboration, cooldowns and caps, but by the time of the alerts, and without doing anything. It is for one goroutine.
type Simulation struct {
	options     SimulationOptions
	protections *safety.Protections
	blockFilter safety.BlockFilter
	guards      map[string]*simulatedGuard // by host
	now         time.Time
	list        stepList
	result      SimulationResult
}

// simulatedGuard is what the guard of one host remembers.
type simulatedGuard struct {
	memory
	ledger map[string]*quarantine.Entry // by container
	tried  time.Time                    // when what waits was tried last
	expiry time.Time                    // when the first entry ends; zero: none does
}

// NewSimulation returns a simulation that has seen no alert.
func NewSimulation(o SimulationOptions) *Simulation {
	s := &Simulation{
		options: o, protections: safety.NewProtections(safety.Self{}, o.Config.Protected, nil), blockFilter: o.Config.blockFilter(),
		guards: map[string]*simulatedGuard{}, list: newStepList(),
	}
	if o.Ceiling == nil {
		s.options.Ceiling = ceilingOfModules
	}
	if o.Running == 0 {
		s.options.Running = maxSimulatedIsolated*100/o.Config.MaxSharePercent + 1
	}
	return s
}

// ceilingOfModules is a Ceiling without a bus, which knows nothing of plug-ins.
func ceilingOfModules(_ context.Context, module, _ string) (event.Trust, error) {
	return bus.ModuleCeiling(module), nil
}

// Add decides about an alert that the guard got at a time. Alerts are added in the order in which they came.
func (s *Simulation) Add(ctx context.Context, a *event.Alert, at time.Time) error {
	s.count(a)
	if at.After(s.now) { // clocks of servers differ
		s.now = at
	}
	g := s.guard(a.Host)
	if g == nil {
		s.result.OtherHosts++
		return nil
	}
	g.expire(s.now)
	if err := s.retry(ctx, g, s.now); err != nil {
		return err
	}
	g.expire(s.now) // of what was done meanwhile
	w, answered := g.answers(a, s.now)
	if !answered {
		return nil
	}
	if err := limitTrust(ctx, s.options.Ceiling, a); err != nil || w != nil && w.strongerThan(a) {
		return err
	}
	s.respond(ctx, g, a, w, s.now)
	return nil
}

// retry answers the alerts for which there is room, or whose time has come, as often as the guard tries, until a time.
func (s *Simulation) retry(ctx context.Context, g *simulatedGuard, until time.Time) error {
	for at := g.tried.Add(retryWaitingInterval); at.Before(until) && len(g.waiting.with(waitsForTheGuard, at)) > 0; at = at.Add(retryWaitingInterval) {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.expire(at)
		g.answerReady(s.options.Running, at, func(w *waitingAnswer) { s.respond(ctx, g, w.Alert, w, at) })
	}
	g.waiting.expire(until)
	g.tried = until
	return nil
}

// Finish ends the simulation at a time, until which what waits is tried again.
func (s *Simulation) Finish(ctx context.Context, at time.Time) error {
	for _, host := range slices.Sorted(maps.Keys(s.guards)) {
		if err := s.retry(ctx, s.guards[host], at); err != nil {
			return err
		}
	}
	return nil
}

// respond answers an alert, or what of w, if it is not nil, can be done now.
func (s *Simulation) respond(ctx context.Context, g *simulatedGuard, a *event.Alert, w *waitingAnswer, now time.Time) {
	e := &evaluator{
		set: s.options.Policies, inventory: alertInventory{a}, protections: s.protections, blockFilter: s.blockFilter,
		maxAge: s.options.Config.maxAge(), approvalTimeout: s.options.Config.approvalTimeout(), autoIsolate: true, now: now, waiting: w,
		asked: g.waiting.isAsked, signs: g.signs,
	}
	e.late = w != nil && w.connectsLate(a)
	decisions := e.evaluate(ctx, a)
	answer, again := decisions, ""
	late := w != nil && (e.isWaiting(a) || !a.Escalated)
	if late {
		answer, again = w.due(decisions)
	}
	answered, acted, refused := s.answer(g, a, answer, again, now)
	g.noteOwn(e)
	next := e.waitingAnswer(a, decisions, refused)
	if late {
		g.nextAnswer(w, next, answered, now)
		return
	}
	g.keepWaiting(w, next, acted, now)
	if !answered {
		s.result.Unmatched++
	}
}

func (s *Simulation) count(a *event.Alert) {
	s.result.Alerts++
	if a.Update {
		s.result.Updates++
	}
	if !bus.IsModule(a.Module) {
		s.result.OfPlugins++
	}
}

// guard returns the guard of a host, nil if there are too many.
func (s *Simulation) guard(host string) *simulatedGuard {
	g := s.guards[host]
	if g != nil || len(s.guards) >= maxSimulatedHosts {
		return g
	}
	cfg := s.options.Config
	g = &simulatedGuard{ledger: map[string]*quarantine.Entry{}, memory: memory{
		guardState: safety.NewState(cfg.limits()), corroboration: safety.NewCorroboration(), blocks: safety.NewBlocks(cfg.blockLimits()),
		waiting: newWaitingList(), released: newReleasedContainers(), signs: safety.NewSigns(),
	}}
	s.guards[host] = g
	return g
}

// answer lists what the verdicts about a are, those on containers and the address first, as the guard does. It reports
// whether there were any, and returns what was refused for want of room, by cooldownKey.
func (s *Simulation) answer(g *simulatedGuard, a *event.Alert, decisions []decision, again string, now time.Time) (answered, acted bool, refused map[string]verdict) {
	j := judge{
		memory: &g.memory, alert: a, now: now, host: a.Host, running: s.options.Running, isolated: g.isolated,
		webhook: s.options.Config.WebhookURL != "", again: again,
	}
	refused = map[string]verdict{}
	for _, d := range decisions {
		steps := j.corroborate(d)
		for _, notifications := range []bool{false, true} {
			for _, st := range steps {
				if (st.kind == policy.Notify) != notifications {
					continue
				}
				v := s.note(g, &j, d, st)
				answered, acted = true, acted || v.outcome == outcomeAct
				if v.noRoom {
					refused[cooldownKey(d, st)] = v
				}
			}
		}
	}
	return answered, acted, refused
}

// note lists the verdict about a step, and what it changes.
func (s *Simulation) note(g *simulatedGuard, j *judge, d decision, st step) verdict {
	v := j.decide(d, st)
	until := v.block.Expires
	if v.outcome == outcomeAct && st.kind.OnContainer() {
		until = g.isolate(v.order)
	}
	s.list.add(j.alert, d, st, v, j.now, until)
	return v
}

func (g *simulatedGuard) isolated(id string) (quarantine.Entry, bool) {
	e := g.ledger[id]
	if e == nil {
		return quarantine.Entry{}, false
	}
	return *e, true
}

// isolate notes that an order was carried out, and returns when the container is released, zero for never.
func (g *simulatedGuard) isolate(o quarantine.Order) time.Time {
	e := quarantine.AfterOrder(o, g.ledger[o.Container.ID])
	g.ledger[o.Container.ID] = e
	g.schedule()
	return e.Order.Expires
}

// expire releases the containers whose time is over.
func (g *simulatedGuard) expire(now time.Time) {
	if g.expiry.IsZero() || !now.After(g.expiry) {
		return
	}
	for id, e := range g.ledger {
		if end := e.Order.Expires; !end.IsZero() && now.After(end) {
			delete(g.ledger, id)
			g.release(id, end)
		}
	}
	g.schedule()
}

// schedule sets when the next container is released.
func (g *simulatedGuard) schedule() {
	g.expiry = time.Time{}
	for e := range maps.Values(g.ledger) {
		if end := e.Order.Expires; !end.IsZero() && (g.expiry.IsZero() || end.Before(g.expiry)) {
			g.expiry = end
		}
	}
}

// SimulationResult is what the guards would have done. Its members are in the JSON of "policies simulate --json", which
// deploy/policies/README.md describes.
type SimulationResult struct {
	Alerts     int             `json:"alerts"`
	Updates    int             `json:"updates"`
	Unmatched  int             `json:"unmatched"`
	OfPlugins  int             `json:"of_plugins"`
	OtherHosts int             `json:"other_hosts"`
	Hosts      int             `json:"hosts"`
	Outcomes   map[string]int  `json:"outcomes"`
	Unlisted   int             `json:"unlisted"`
	Steps      []SimulatedStep `json:"steps"`
}

// Result returns what the alerts so far have caused, by time.
func (s *Simulation) Result() SimulationResult {
	r := s.result
	r.Hosts, r.Outcomes, r.Unlisted, r.Steps = len(s.guards), maps.Clone(s.list.outcomes), s.list.unlisted, s.list.sorted()
	return r
}
