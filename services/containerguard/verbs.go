package containerguard

import (
	"cmp"
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

// The verbs that operators may use, on bus.VerbSubject(Name, host, verb); VerbIsolate and VerbRelease are acts, on bus.ActSubject.
const (
	VerbIsolate    = "isolate"
	VerbRelease    = "release"
	VerbQuarantine = "quarantine"
	VerbEvidence   = "evidence"
	VerbTest       = "test"
)

const (
	// verbTimeout bounds a verb, as the client waits 5 s. Work not done by then continues.
	verbTimeout = 4 * time.Second
	// operatorPolicy is the policy in the actions of an operator.
	operatorPolicy = "operator"
	// operatorReason is the reason if the operator gave none.
	operatorReason = "an operator asked for it"
	// minIDPrefix is how much of an id an operator must give.
	minIDPrefix = 4
	// maxListed keeps a reply below the bus's 1 MiB.
	maxListed = 500
)

var errNoName = errors.New("no container is named")

// serve answers requests until stop is called.
func (s *Service) serve(ctx context.Context) (stop func(), err error) {
	return s.deps.Bus.Serve(ctx, bus.ServiceConfig{
		Module: Name, Host: s.deps.Host, Version: s.deps.Version,
		Verbs: map[string]bus.Verb{
			VerbQuarantine: s.listQuarantined, VerbEvidence: s.evidenceVerb, VerbTest: s.testPolicies, VerbWaiting: s.listWaiting,
		},
		Acts: map[string]bus.Act{VerbIsolate: s.isolateVerb, VerbRelease: s.releaseVerb, VerbApprove: s.approveVerb, VerbNotify: s.notifyVerb},
	})
}

// IsolateRequest asks to isolate a container, named by its id, a prefix of it, or its
// name. An empty Kind is isolate. Force overrides the protections, but not that of the
// guard's own container. TTLSecs 0 is until an operator releases it.
type IsolateRequest struct {
	Container string      `json:"container"`
	Kind      policy.Kind `json:"kind,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	TTLSecs   int64       `json:"ttl_secs,omitempty"`
	Force     bool        `json:"force,omitempty"`
}

// Quarantined is one isolated container, for operators.
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
	Removed   time.Time `json:"removed,omitzero"` // the container; what is made in its place is isolated, too
	Expires   time.Time `json:"expires,omitzero"`
	Ordered   time.Time `json:"ordered"`            // the guard got the alert
	FrozenAt  time.Time `json:"frozen_at,omitzero"` // verified
	HeldAt    time.Time `json:"held_at,omitzero"`   // verified: all of it but a kill after the evidence
	Networks  []string  `json:"networks,omitempty"` // to be restored by a release
	Reapplied int       `json:"reapplied,omitempty"`
	Evidence  bool      `json:"evidence"`
	Error     string    `json:"error,omitempty"`
}

func quarantinedOf(e quarantine.Entry) Quarantined {
	q := Quarantined{
		Action: e.Order.ActionID, Container: e.Before.ID, Name: e.Before.Name, Image: e.Before.Image,
		Kind: string(e.Order.Kind), State: string(e.State), Policy: e.Order.Policy, AlertID: e.Order.AlertID,
		Reason: e.Order.Reason, Since: e.Since, Removed: e.Gone, Expires: e.Order.Expires, Reapplied: e.Reapplied,
		Evidence: e.Evidence != "", Error: e.Error, Ordered: e.Order.Ordered, FrozenAt: e.FrozenAt, HeldAt: e.HeldAt,
	}
	for _, n := range e.Before.Networks {
		q.Networks = append(q.Networks, n.Network)
	}
	return q
}

// isolateVerb answers VerbIsolate with a Quarantined: its state after at most verbTimeout.
func (s *Service) isolateVerb(ctx context.Context, by string, body []byte) (any, error) {
	var req IsolateRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	kind := quarantine.Kind(cmp.Or(req.Kind, policy.Isolate))
	if _, known := kind.Restrictions(); !known {
		return nil, fmt.Errorf("kind %q is not one of cut-egress, pause, disconnect, isolate, kill, stop", kind)
	}
	run := s.run.Load()
	containers := run.inventory.List()
	c, err := findContainer(containers, req.Container)
	if err != nil {
		if reason := run.inventory.StaleReason(); reason != "" {
			err = fmt.Errorf("%w; the list may be out of date: %s", err, reason)
		}
		return nil, err
	}
	protections := s.protections.Load()
	if reason := protections.Reason(c, containers); reason != "" && (!req.Force || protections.IsSelf(c)) {
		return nil, fmt.Errorf("container %s is %s", c.Name, reason)
	}
	now := time.Now()
	o := quarantine.Order{
		ActionID: event.ID("operator", uuid.NewString()), Kind: kind, Container: c, Policy: operatorPolicy,
		TraceID: strings.ReplaceAll(uuid.NewString(), "-", ""), Ordered: now, Forced: req.Force, Operator: bus.OperatorName(by, s.deps.Host),
		Reason: cmp.Or(event.Printable(req.Reason, maxReason), operatorReason),
	}
	if req.TTLSecs > 0 {
		o.Expires = now.Add(time.Duration(req.TTLSecs) * time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	if err := run.quarantine.Apply(ctx, o); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	e, known := run.quarantine.Get(c.ID)
	if !known {
		return nil, fmt.Errorf("container %s could not be isolated; see ironpost actions", c.Name)
	}
	return quarantinedOf(e), nil
}

// findContainer returns the one container whose name is text or whose id begins with
// it. A name that is also a prefix of another container's id is ambiguous.
func findContainer(all []docker.Container, text string) (docker.Container, error) {
	var found []docker.Container
	if text == "" { // a container known only by an event may have no name yet
		return docker.Container{}, errNoName
	}
	for _, c := range all {
		if c.ID == text {
			return c, nil
		}
		if c.Name == text || len(text) >= minIDPrefix && strings.HasPrefix(c.ID, text) {
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

// ReleaseRequest asks to release an isolated container.
type ReleaseRequest struct {
	Container string `json:"container"`
	Reason    string `json:"reason,omitempty"`
}

// ReleaseReply is the state of a release; Pending means that it continues. Differences say in what the
// container is not as before, such as that it was restarted. Unrestored means that it runs again without
// all that it had, such as a port that is taken, which is tried again for an hour.
type ReleaseReply struct {
	Container string `json:"container"`
	Name      string `json:"name"`
	Pending   bool   `json:"pending"`
	Error     string `json:"error,omitempty"`

	Unrestored  bool     `json:"unrestored,omitempty"`
	Differences []string `json:"differences,omitempty"`
}

// releaseVerb answers VerbRelease with a ReleaseReply.
func (s *Service) releaseVerb(ctx context.Context, by string, body []byte) (any, error) {
	var req ReleaseRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if req.Container == "" {
		return nil, errNoName
	}
	run := s.run.Load()
	id, err := run.quarantine.Find(req.Container)
	if err != nil {
		return nil, err
	}
	e, _ := run.quarantine.Get(id)
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	differences, err := run.quarantine.Release(ctx, id, cmp.Or(event.Printable(req.Reason, maxReason), operatorReason), bus.OperatorName(by, s.deps.Host))
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	left, pending := run.quarantine.Get(id)
	if !pending || left.Unrestored != "" {
		s.reportUnanswered(ctx, run, run.release(id, time.Now()), bus.OperatorName(by, s.deps.Host)+" released the container")
		s.saveState(run)
	} else if left.NeedsStart {
		differences = []string{quarantine.Restarted}
	}
	reply := ReleaseReply{Container: id, Name: e.Before.Name, Pending: pending, Error: left.Error, Differences: differences}
	if left.Unrestored != "" {
		reply.Unrestored, reply.Error = true, ""
	}
	return reply, nil
}

// QuarantineReply lists the isolated containers. Incomplete counts those left out.
type QuarantineReply struct {
	Quarantined []Quarantined `json:"held"`
	Incomplete  int           `json:"incomplete,omitempty"`
	Docker      string        `json:"docker,omitempty"` // why Docker cannot be asked
}

// listQuarantined answers VerbQuarantine with a QuarantineReply.
func (s *Service) listQuarantined(context.Context, []byte) (any, error) {
	run := s.run.Load()
	reply := QuarantineReply{Quarantined: []Quarantined{}, Docker: run.inventory.StaleReason()}
	for _, e := range run.quarantine.List() {
		if len(reply.Quarantined) == maxListed {
			reply.Incomplete++
			continue
		}
		reply.Quarantined = append(reply.Quarantined, quarantinedOf(e))
	}
	return reply, nil
}
