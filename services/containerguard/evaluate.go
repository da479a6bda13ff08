package containerguard

import (
	"context"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/attribution"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// decision is what one policy asks to be done about one alert.
type decision struct {
	policy  *policy.Policy
	applies bool
	why     string // it does not apply
	steps   []step
	waits   bool // until Docker is back: the container cannot be found before
}

// step is one action on one target, with its outcome.
type step struct {
	kind       policy.Kind
	target     string // as actions name it
	container  docker.Container
	by         policy.AttributionMethod // how the container was found
	address    netip.Addr
	outcome    stepOutcome
	maxTTL     time.Duration     // of a block; 0: as the policy says
	need       need              // what a dry run waits for, "" for nothing
	until      time.Time         // it waits
	due        time.Time         // of needTime: when it is done
	approval   string            // the id of the request to an operator, "" if there is none
	approvedBy string            // the operator
	query      *connection.Query // of needConnection
	within     time.Duration     // of needSign: the time in which two signs must come
	assumed    bool              // that the address connected, as no kernel can be asked
	reason     string
}

// stepOutcome says whether a step is done. Caps, cooldowns and corroboration, which the
// response checks, may still turn act into skip.
type stepOutcome string

// The outcomes.
const (
	outcomeAct    stepOutcome = "act"
	outcomeDryRun stepOutcome = "dry_run" // reported as skipped, with what would have been done
	outcomeSkip   stepOutcome = "skip"    // reported as skipped, with the reason
	outcomeWait   stepOutcome = "wait"    // until Docker is back
)

// Targets that name no container and no address.
const (
	unknownContainer = "container:unknown"
	unknownAddress   = "address:unknown"
	webhookTarget    = "webhook"
)

// evaluator decides about alerts. It changes nothing, so it also
// answers "ironpost policies test".
type evaluator struct {
	set             *policy.Set
	inventory       attribution.Inventory
	dockerProblem   string // why the inventory may be out of date, "" if it is not
	protections     *safety.Protections
	blockFilter     safety.BlockFilter
	connections     *connection.Watcher                   // nil: not known
	signs           *safety.Signs                         // about containers; nil: none are known
	own             ownSign                               // what the alert itself is
	waiting         *waitingAnswer                        // the one that is answered again; nil: the alert is new
	asked           func(key string, a *event.Alert) bool // waitingList.isAsked; nil: nobody is asked
	maxAge          time.Duration
	approvalTimeout time.Duration
	autoIsolate     bool
	retried         bool // the alert was pending
	late            bool // the alert waited for a connection
	now             time.Time
}

// newEvaluator returns an evaluator for one alert at now.
func (s *Service) newEvaluator(run *runState, now time.Time) *evaluator {
	cfg := s.config()
	return &evaluator{
		set: s.policies.Load(), inventory: run.inventory, dockerProblem: run.inventory.StaleReason(), protections: s.protections.Load(),
		blockFilter: cfg.blockFilter(), maxAge: cfg.maxAge(), approvalTimeout: cfg.approvalTimeout(), autoIsolate: cfg.AutoIsolate, connections: s.connections,
		asked: run.waiting.isAsked, signs: run.signs, now: now,
	}
}

// evaluate returns the decisions of the enabled policies in their order, up to the first
// that applies, or waits, and does not say continue. A policy about certain containers
// applies only if the container is known. If no policy applies, the first one that could
// not find the container keeps its skipped steps, so that the reason is reported; so does
// each one that waited for Docker in vain.
func (e *evaluator) evaluate(ctx context.Context, a *event.Alert) []decision {
	var out []decision
	e.own = e.ownSign(ctx, a)
	unresolved := -1
	answered := false
	for _, p := range e.set.Enabled() {
		d := e.evaluatePolicy(ctx, a, p)
		out = append(out, d)
		if !d.applies && len(d.steps) > 0 && unresolved < 0 {
			unresolved = len(out) - 1
		}
		answered = answered || d.applies
		if (d.waits || d.applies) && !p.Continue {
			break
		}
	}
	e.dropSteps(a, out, answered, unresolved)
	e.limit(a, out)
	return out
}

// dropSteps drops the steps of decisions that do not apply, but for the reason to be
// reported, and of those that were carried out when an alert that was pending arrived:
// the policies up to the first one that waited and does not say continue were evaluated then.
func (e *evaluator) dropSteps(a *event.Alert, decisions []decision, answered bool, unresolved int) {
	early := e.retried
	for i := range decisions {
		d := &decisions[i]
		matches, _ := d.policy.Match.MatchesAlert(a)
		waited := early && matches && needsContainer(d.policy)
		switch {
		case early && !needsContainer(d.policy):
			d.steps = nil
		case !d.applies && !waited && (answered || i != unresolved):
			d.steps = nil
		}
		early = early && (!waited || d.policy.Continue)
	}
}

// needsContainer reports whether p asks for the container of an alert.
func needsContainer(p *policy.Policy) bool {
	return p.Match.AboutContainer() || len(p.ContainerActions()) > 0
}

// evaluatePolicy decides about a by p. A decision that does not apply because its
// container was not found has skipped steps that say why.
func (e *evaluator) evaluatePolicy(ctx context.Context, a *event.Alert, p *policy.Policy) decision {
	d := decision{policy: p}
	if ok, why := p.Match.MatchesAlert(a); !ok {
		d.why = why
		return d
	}
	stale := ""
	if !e.isWaiting(a) {
		stale = safety.Stale(a, e.now, e.maxAge)
	}
	var found attribution.Result
	if needsContainer(p) {
		found = attribution.Resolve(ctx, e.inventory, attribution.Query{Alert: a, By: p.AttributeBy, Match: p.Match})
		if stale == "" && len(found.Containers) == 0 && (found.Unresolved || e.dockerProblem != "") {
			d.waits = true
			found.Reason += "; waiting for Docker: " + e.dockerProblem
		}
	}
	if stale != "" {
		stale = "stale: " + stale
	}
	if p.Match.AboutContainer() {
		unknown := len(found.Containers) == 0
		if found = matching(p, found); len(found.Containers) == 0 {
			d.why = found.Reason
			if unknown && stale != "" {
				d.why = stale
			}
			if unknown {
				d.steps = e.skipped(p, e.steps(a, p, found), d.why)
			}
			return d
		}
	}
	d.applies, d.steps = true, e.steps(a, p, found)
	if stale != "" {
		d.steps = e.skipped(p, d.steps, stale)
	}
	return d
}

// matching keeps the containers that p is about; if none is left the reason says why.
func matching(p *policy.Policy, found attribution.Result) attribution.Result {
	all := found.Containers
	found.Containers = nil
	for _, c := range all {
		ok, why := p.Match.MatchesContainer(attribution.PolicyContainer(c))
		if ok {
			found.Containers = append(found.Containers, c)
			continue
		}
		found.Reason = why
	}
	return found
}

// steps returns a step for every action of p, those on containers for each container.
func (e *evaluator) steps(a *event.Alert, p *policy.Policy, found attribution.Result) []step {
	var out []step
	for _, k := range p.Actions {
		switch {
		case k == policy.BlockSource:
			out = append(out, e.blockStep(a, p))
		case k == policy.Notify: // harms nothing, so it needs no auto_isolate
			out = append(out, step{kind: k, target: webhookTarget, outcome: actUnless(p.DryRun)})
		case len(found.Containers) == 0:
			out = append(out, step{kind: k, target: namedTarget(a), outcome: outcomeSkip, reason: found.Reason})
		}
		if !k.OnContainer() {
			continue
		}
		for _, c := range found.Containers {
			s := step{kind: k, target: containerTarget(c.ID), container: c, by: found.By, outcome: actUnless(p.DryRun || !e.autoIsolate), reason: "found by " + string(found.By)}
			if reason := e.protections.Reason(c, e.inventory.List()); reason != "" {
				s.outcome, s.reason = outcomeSkip, reason
			}
			out = append(out, s)
		}
	}
	return out
}

func (e *evaluator) blockStep(a *event.Alert, p *policy.Policy) step {
	s := step{kind: policy.BlockSource, target: unknownAddress, outcome: actUnless(p.DryRun || !e.autoIsolate)}
	source := ""
	if a.Source != nil {
		source = a.Source.IP
	}
	address, refused := e.blockFilter.Parse(source)
	if dependency := e.protections.Dependency(netip.PrefixFrom(address, address.BitLen())); refused == "" && dependency != "" {
		refused = "the source address is that of " + dependency + ", which the guard depends on: " + address.String()
	}
	if address.IsValid() {
		s.address, s.target = address, "address:"+address.String()
	}
	if refused != "" {
		s.outcome, s.reason = outcomeSkip, refused
	}
	return s
}

// skipped returns steps of p with outcome skip, for one reason. A notification is left
// out unless it is the only action of p: there are no outcomes to send. So is a block that was
// made when the alert arrived, before it was pending; a policy about containers made none then.
func (e *evaluator) skipped(p *policy.Policy, steps []step, reason string) []step {
	var out []step
	for _, s := range steps {
		if s.kind == policy.Notify && len(p.Actions) > 1 || s.kind == policy.BlockSource && e.retried && !p.Match.AboutContainer() {
			continue
		}
		s.outcome, s.reason = outcomeSkip, reason
		out = append(out, s)
	}
	return out
}

func actUnless(dryRun bool) stepOutcome {
	if dryRun {
		return outcomeDryRun
	}
	return outcomeAct
}

const shortID = 12 // digits of a container's id, as Docker prints it

// containerTarget is how actions name a container.
func containerTarget(id string) string {
	return "container:" + event.Printable(id, shortID)
}

// namedTarget names the container as the alert does: it could not be found.
func namedTarget(a *event.Alert) string {
	const maxName = 128
	switch {
	case a.Container != nil && a.Container.ID != "":
		return containerTarget(a.Container.ID)
	case a.Container != nil && a.Container.Name != "":
		return "container:" + event.Printable(a.Container.Name, maxName)
	}
	return unknownContainer
}
