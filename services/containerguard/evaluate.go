package containerguard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/attribution"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// decision is what one policy says about one alert.
type decision struct {
	policy  *policy.Policy
	applies bool
	why     string // if it does not apply
	by      policy.AttributionMethod
	steps   []step
	waits   bool // for Docker, to find the container
}

// stepOutcome is what is to become of a step.
type stepOutcome string

const (
	outcomeAct    stepOutcome = "act"
	outcomeDryRun stepOutcome = "dry_run"
	outcomeSkip   stepOutcome = "skip"
)

// step is one action on one target, judged.
type step struct {
	kind      policy.Kind
	target    string // as reports name it
	container docker.Container
	address   netip.Addr
	outcome   stepOutcome
	reason    string
}

// evaluator says what is to be done about alerts. It does nothing, so the same judge
// answers "ironpost policies test".
type evaluator struct {
	set       *policy.Set
	inventory attribution.Inventory
	away      string // why the inventory cannot be relied on, "" if it can
	protect   *safety.Protections
	addresses safety.BlockFilter
	maxAge    time.Duration
	auto      bool
	again     bool // the alert has waited: what needs no container is done
	now       time.Time
}

// alert looks at the policies in their order. The first that applies is the last,
// unless it says to go on. A policy about certain containers applies only if the
// container is known; if for want of it none did, the first of them tells why.
func (j *evaluator) alert(ctx context.Context, a *event.Alert) []decision {
	var out []decision
	lost := -1 // the first policy that would have needed the container
	answered := false
	for _, p := range j.set.Enabled() {
		v := j.policy(ctx, a, p)
		out = append(out, v)
		if !v.applies && len(v.steps) > 0 && lost < 0 {
			lost = len(out) - 1
		}
		answered = answered || v.applies
		if v.waits || v.applies && !p.Continue {
			break
		}
	}
	for i := range out {
		if !out[i].applies && (answered || i != lost) {
			out[i].steps = nil
		}
	}
	return out
}

// policy judges a by p. One that does not apply for want of a container has steps
// all the same, each skipped with the reason.
func (j *evaluator) policy(ctx context.Context, a *event.Alert, p *policy.Policy) decision {
	v := decision{policy: p}
	ok, why := p.Match.MatchesAlert(a)
	if !ok {
		v.why = why
		return v
	}
	if stale := safety.Stale(a, j.now, j.maxAge); stale != "" {
		v.applies, v.steps = !p.Match.AboutContainer(), j.none(p, "stale: "+stale)
		return v
	}
	found, needed := j.containers(ctx, a, p)
	v.by = found.By
	if needed && len(found.Containers) == 0 && (found.Open || j.away != "") {
		v.waits = true
		found.Reason += "; waiting for Docker: " + j.away
	}
	if p.Match.AboutContainer() {
		fitting := j.fitting(p, &found)
		if len(fitting) == 0 {
			v.why = found.Reason
			if len(found.Containers) == 0 {
				v.steps = j.none(p, found.Reason)
			}
			return v
		}
		found.Containers = fitting
	}
	v.applies = true
	v.steps = j.steps(a, p, found)
	return v
}

// containers finds whom a is about, if p needs to know.
func (j *evaluator) containers(ctx context.Context, a *event.Alert, p *policy.Policy) (answer attribution.Result, needed bool) {
	if !p.Match.AboutContainer() && len(p.ContainerActions()) == 0 {
		return attribution.Result{}, false
	}
	return attribution.Resolve(ctx, j.inventory, attribution.Query{Alert: a, By: p.AttributeBy, Match: p.Match}), true
}

// fitting returns the containers that p is about; without any it leaves the reason in found.
func (j *evaluator) fitting(p *policy.Policy, found *attribution.Result) []docker.Container {
	var out []docker.Container
	for _, c := range found.Containers {
		ok, why := p.Match.MatchesContainer(attribution.PolicyContainer(c))
		if ok {
			out = append(out, c)
			continue
		}
		found.Reason = why
	}
	return out
}

// none skips every action of p for one reason. That nobody is told is told only if
// there was nothing else to do.
func (j *evaluator) none(p *policy.Policy, reason string) []step {
	var out []step
	for _, k := range p.Actions {
		switch {
		case k.OnContainer():
			out = append(out, step{kind: k, target: unknownContainer, outcome: outcomeSkip, reason: reason})
		case k == policy.BlockSource && !j.again:
			out = append(out, step{kind: k, target: "address:unknown", outcome: outcomeSkip, reason: reason})
		case k == policy.Notify && len(p.Actions) == 1:
			out = append(out, step{kind: k, target: webhookTarget, outcome: outcomeSkip, reason: reason})
		}
	}
	return out
}

// Targets that are no container and no address.
const (
	unknownContainer = "container:unknown"
	webhookTarget    = "webhook"
)

// steps judges every action of p, those on containers for each container.
func (j *evaluator) steps(a *event.Alert, p *policy.Policy, found attribution.Result) []step {
	var out []step
	for _, k := range p.Actions {
		switch {
		case k == policy.BlockSource:
			out = append(out, j.block(a, p))
		case k == policy.Notify:
			out = append(out, step{kind: k, target: webhookTarget, outcome: j.may(p, true)})
		case len(found.Containers) == 0:
			out = append(out, step{kind: k, target: unknownContainer, outcome: outcomeSkip, reason: found.Reason})
		default:
			for _, c := range found.Containers {
				out = append(out, j.container(k, p, c, found.By))
			}
		}
	}
	return out
}

func (j *evaluator) container(k policy.Kind, p *policy.Policy, c docker.Container, by policy.AttributionMethod) step {
	s := step{kind: k, target: containerTarget(c), container: c, outcome: j.may(p, false), reason: "found by " + string(by)}
	if reason := j.protect.Reason(c, j.inventory.List()); reason != "" {
		s.outcome, s.reason = outcomeSkip, reason
	}
	return s
}

func (j *evaluator) block(a *event.Alert, p *policy.Policy) step {
	s := step{kind: policy.BlockSource, target: "address:unknown", outcome: j.may(p, false)}
	source := ""
	if a.Source != nil {
		source = a.Source.IP
	}
	address, refused := j.addresses.Parse(source)
	if need := j.protect.Dependency(address); refused == "" && need != "" {
		refused = "the source address is that of " + need + ", which the guard depends on: " + address.String()
	}
	if address.IsValid() {
		s.address, s.target = address, "address:"+address.String()
	}
	if refused != "" {
		s.outcome, s.reason = outcomeSkip, refused
	}
	return s
}

// may tells a dry run from an action. auto_isolate is about containers and
// addresses: a notification harms nobody.
func (j *evaluator) may(p *policy.Policy, harmless bool) stepOutcome {
	if p.DryRun || !j.auto && !harmless {
		return outcomeDryRun
	}
	return outcomeAct
}

// containerTarget is how reports name a container.
func containerTarget(c docker.Container) string {
	return "container:" + c.ID[:min(12, len(c.ID))]
}

// actionReason is what every report of a step begins with: which alert, in words.
func actionReason(a *event.Alert, s step) string {
	text := fmt.Sprintf("%s alert %q", a.Severity, a.Title)
	if s.reason != "" {
		text += "; " + s.reason
	}
	return text
}
