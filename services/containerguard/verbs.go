package containerguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// The verbs that operators may use, on bus.StatusSubject(Name, host, verb).
const (
	VerbIsolate    = "isolate"
	VerbRelease    = "release"
	VerbQuarantine = "quarantine"
	VerbEvidence   = "evidence"
	VerbTest       = "test"
)

// verbTimeout bounds a verb: who asks may be answered for 5 s. What is not done by then
// goes on.
const verbTimeout = 4 * time.Second

// operatorPolicy is the policy that reports name for what a person did.
const operatorPolicy = "operator"

// serve answers requests until stop is called.
func (s *Service) serve(ctx context.Context) (stop func(), err error) {
	return s.deps.Bus.Serve(ctx, bus.ServiceConfig{
		Module: Name, Host: s.deps.Host, Version: s.deps.Version,
		Verbs: map[string]bus.Verb{
			VerbIsolate: s.isolateVerb, VerbRelease: s.releaseVerb, VerbQuarantine: s.listQuarantined, VerbEvidence: s.evidenceVerb, VerbTest: s.testPolicies,
		},
	})
}

// IsolateRequest asks to hold a container, named by its id, a part of it, or its
// name. Kind is isolate if empty. Force overrides the protected set, but for the
// guard's own container.
type IsolateRequest struct {
	Container string      `json:"container"`
	Kind      policy.Kind `json:"kind,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	TTLSecs   int64       `json:"ttl_secs,omitempty"`
	Force     bool        `json:"force,omitempty"`
}

// Quarantined is one container in quarantine, for operators.
type Quarantined struct {
	Action    string    `json:"action"`
	Container string    `json:"container"`
	Name      string    `json:"name"`
	Image     string    `json:"image"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	Policy    string    `json:"policy"`
	AlertID   string    `json:"alert_id,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	Expires   time.Time `json:"expires,omitzero"`
	Ordered   time.Time `json:"ordered"`            // when the alert was taken in
	FrozenAt  time.Time `json:"frozen_at,omitzero"` // verified
	HeldAt    time.Time `json:"held_at,omitzero"`   // verified: all of it but a kill after the evidence
	Networks  []string  `json:"networks,omitempty"` // to give back
	Reapplied int       `json:"reapplied,omitempty"`
	Evidence  bool      `json:"evidence"`
	Error     string    `json:"error,omitempty"`
}

func quarantinedOf(e quarantine.Entry) Quarantined {
	h := Quarantined{
		Action: e.Order.ActionID, Container: e.Before.ID, Name: e.Before.Name, Image: e.Before.Image,
		Kind: string(e.Order.Kind), State: string(e.State), Policy: e.Order.Policy, AlertID: e.Order.AlertID,
		Reason: e.Order.Reason, Since: e.Since, Expires: e.Order.Expires, Reapplied: e.Reapplied,
		Evidence: e.Evidence != "", Error: e.Error, Ordered: e.Order.Ordered, FrozenAt: e.FrozenAt, HeldAt: e.HeldAt,
	}
	for _, n := range e.Before.Networks {
		h.Networks = append(h.Networks, n.Network)
	}
	return h
}

func (s *Service) isolateVerb(ctx context.Context, body []byte) (any, error) {
	var r IsolateRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if r.Kind == "" {
		r.Kind = policy.Isolate
	}
	if _, known := quarantine.Kind(r.Kind).Restrictions(); !known {
		return nil, fmt.Errorf("kind %q is none of pause, disconnect, isolate, kill, stop", r.Kind)
	}
	p := s.run.Load()
	c, err := findContainer(p.inventory.List(), r.Container)
	if err != nil {
		if reason := p.inventory.StaleReason(); reason != "" {
			err = fmt.Errorf("%w; the list may be old: %s", err, reason)
		}
		return nil, err
	}
	if reason := s.protections.Load().Reason(c, p.inventory.List()); reason != "" && (!r.Force || s.isSelf(c)) {
		return nil, fmt.Errorf("container %s is %s", c.Name, reason)
	}
	now := time.Now()
	o := quarantine.Order{
		ActionID: idOf("operator", uuid.NewString()), Kind: quarantine.Kind(r.Kind), Container: c, Policy: operatorPolicy,
		TraceID: strings.ReplaceAll(uuid.NewString(), "-", ""), Reason: printable(r.Reason), Ordered: now,
		Forced: r.Force,
	}
	if o.Reason == "" {
		o.Reason = "an operator asked for it"
	}
	if r.TTLSecs > 0 {
		o.Expires = now.Add(time.Duration(r.TTLSecs) * time.Second)
	}
	return s.applyOrder(ctx, p, o)
}

const maxReason = bus.MaxBlockReason

// isSelf reports whether c is the container the guard runs in, which it could not release again.
func (s *Service) isSelf(c docker.Container) bool { return s.protections.Load().IsSelf(c) }

// applyOrder applies o and returns how far it came within the time of a verb; the
// quarantine goes on with what is left.
func (s *Service) applyOrder(ctx context.Context, p *runState, o quarantine.Order) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	err := p.quarantine.Apply(ctx, o)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	e, is := p.quarantine.Get(o.Container.ID)
	if !is {
		return nil, fmt.Errorf("container %s could not be held; see ironpost actions", o.Container.Name)
	}
	return quarantinedOf(e), nil
}

// findContainer finds the one container that a person means. A container may be called as
// another's id begins: then nobody knows which is meant.
func findContainer(all []docker.Container, text string) (docker.Container, error) {
	var found []docker.Container
	if text == "" { // the name of one that is known by an event only
		return docker.Container{}, errNoName
	}
	for _, c := range all {
		if c.ID == text {
			return c, nil
		}
		if c.Name == text || len(text) >= minPrefix && strings.HasPrefix(c.ID, text) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return docker.Container{}, fmt.Errorf("there is no container %q", text)
	case 1:
		return found[0], nil
	}
	return docker.Container{}, fmt.Errorf("%d containers have that name or ids that begin with %q: give more of the id", len(found), text)
}

var errNoName = errors.New("no container is named")

// minPrefix is how much of an id a person must give.
const minPrefix = 4

// ReleaseRequest asks to give a held container everything back.
type ReleaseRequest struct {
	Container string `json:"container"`
	Reason    string `json:"reason,omitempty"`
}

// ReleaseReply says what is left to do: Pending if the release goes on.
type ReleaseReply struct {
	Container string `json:"container"`
	Name      string `json:"name"`
	Pending   bool   `json:"pending"`
	Error     string `json:"error,omitempty"`
}

func (s *Service) releaseVerb(ctx context.Context, body []byte) (any, error) {
	var r ReleaseRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if r.Container == "" {
		return nil, errNoName
	}
	p := s.run.Load()
	id, err := p.quarantine.Find(r.Container)
	if err != nil {
		return nil, err
	}
	e, _ := p.quarantine.Get(id)
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	reason := printable(r.Reason)
	if reason == "" {
		reason = "an operator asked for it"
	}
	err = p.quarantine.Release(ctx, id, reason)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	left, pending := p.quarantine.Get(id)
	if !pending {
		p.memory.Free(id)
		s.saveState(p)
	}
	return ReleaseReply{Container: id, Name: e.Before.Name, Pending: pending, Error: left.Error}, nil
}

// QuarantineReply lists what is held. Incomplete counts those that did not fit.
type QuarantineReply struct {
	Quarantined []Quarantined `json:"held"`
	Incomplete  int           `json:"incomplete,omitempty"`
	Docker      string        `json:"docker,omitempty"` // why Docker cannot be asked
}

// maxListed keeps an answer below the bus's 1 MiB.
const maxListed = 500

func (s *Service) listQuarantined(context.Context, []byte) (any, error) {
	p := s.run.Load()
	reply := QuarantineReply{Quarantined: []Quarantined{}, Docker: p.inventory.StaleReason()}
	for _, e := range p.quarantine.List() {
		if len(reply.Quarantined) == maxListed {
			reply.Incomplete++
			continue
		}
		reply.Quarantined = append(reply.Quarantined, quarantinedOf(e))
	}
	return reply, nil
}

// TestRequest asks what the policies in force would do about an alert. Nothing is
// done. At is when it shall be judged, for an alert of the past; zero is now.
type TestRequest struct {
	Alert json.RawMessage `json:"alert"`
	At    time.Time       `json:"at,omitzero"`
}

// PolicyDecision is what one policy says about an alert.
type PolicyDecision struct {
	Policy   string        `json:"policy"`
	Position string        `json:"place"`
	Applies  bool          `json:"applies"`
	Why      string        `json:"why,omitempty"` // if it does not apply
	Waits    bool          `json:"waits,omitempty"`
	Steps    []DecidedStep `json:"steps,omitempty"`
}

// DecidedStep is one action and what would become of it: act, dry_run or skip.
type DecidedStep struct {
	Kind    string `json:"kind"`
	Target  string `json:"target"`
	Name    string `json:"name,omitempty"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

func (s *Service) testPolicies(ctx context.Context, body []byte) (any, error) {
	var r TestRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	var a event.Alert
	if err := event.Decode(r.Alert, &a); err != nil {
		return nil, fmt.Errorf("alert: %w", err)
	}
	at := time.Now()
	if !r.At.IsZero() {
		at = r.At
	}
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	return publicDecisions(s.newEvaluator(s.run.Load(), at).alert(ctx, &a)), nil
}

func publicDecisions(in []decision) []PolicyDecision {
	out := []PolicyDecision{}
	for _, v := range in {
		shown := PolicyDecision{Policy: v.policy.ID, Position: v.policy.Position.String(), Applies: v.applies, Why: v.why, Waits: v.waits}
		for _, s := range v.steps {
			shown.Steps = append(shown.Steps, DecidedStep{
				Kind: string(s.kind), Target: s.target, Name: s.container.Name, Outcome: string(s.outcome), Reason: s.reason,
			})
		}
		out = append(out, shown)
	}
	return out
}
