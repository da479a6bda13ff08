package containerguard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// TestRequest asks for the decisions of the policies in force about an alert. Nothing is
// done. At is the time to evaluate the alert at, for one of the past; zero is now.
type TestRequest struct {
	Alert json.RawMessage `json:"alert"`
	At    time.Time       `json:"at,omitzero"`
}

// PolicyDecision is what one policy would do about an alert.
type PolicyDecision struct {
	Policy   string        `json:"policy"`
	Position string        `json:"place"` // file:line:column of the policy
	Applies  bool          `json:"applies"`
	Why      string        `json:"why,omitempty"`   // it does not apply
	Waits    bool          `json:"waits,omitempty"` // until Docker is back
	Steps    []DecidedStep `json:"steps,omitempty"`
}

// DecidedStep is one action on one target. Outcome is act, dry_run or skip.
type DecidedStep struct {
	Kind    string `json:"kind"`
	Target  string `json:"target"`
	Name    string `json:"name,omitempty"` // of the container
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

// testPolicies answers VerbTest with []PolicyDecision.
func (s *Service) testPolicies(ctx context.Context, body []byte) (any, error) {
	var req TestRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	var a event.Alert
	if err := event.Decode(req.Alert, &a); err != nil {
		return nil, fmt.Errorf("alert: %w", err)
	}
	at := time.Now()
	if !req.At.IsZero() {
		at = req.At
	}
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	if err := s.limitTrust(ctx, &a); err != nil {
		return nil, err
	}
	decisions := s.newEvaluator(s.run.Load(), at).evaluate(ctx, &a)
	return publicDecisions(decisions), nil
}

// DryRun returns the decisions of the policies of set, under cfg, about a at a time,
// without Docker and without a daemon. It takes the container to be as the alert says,
// and running, the trust as the alert claims, and an address to have connected to the service or container; caps, cooldowns and other
// containers are not known.
func DryRun(ctx context.Context, cfg Config, set *policy.Set, a *event.Alert, at time.Time) []PolicyDecision {
	a.Trust = a.ClaimedTrust()
	e := &evaluator{
		set: set, inventory: alertInventory{a}, protections: safety.NewProtections(safety.Self{}, cfg.Protected, nil),
		blockFilter: cfg.blockFilter(), maxAge: cfg.maxAge(), approvalTimeout: cfg.approvalTimeout(), autoIsolate: cfg.AutoIsolate, now: at,
	}
	return publicDecisions(e.evaluate(ctx, a))
}

func publicDecisions(decisions []decision) []PolicyDecision {
	out := []PolicyDecision{}
	for _, d := range decisions {
		public := PolicyDecision{Policy: d.policy.ID, Position: d.policy.Position.String(), Applies: d.applies, Why: d.why, Waits: d.waits}
		for _, s := range d.steps {
			public.Steps = append(public.Steps, DecidedStep{
				Kind: string(s.kind), Target: s.target, Name: s.container.Name, Outcome: string(s.outcome), Reason: s.reason,
			})
		}
		out = append(out, public)
	}
	return out
}

// alertInventory is an attribution.Inventory of the one container that an alert names.
type alertInventory struct{ alert *event.Alert }

func (i alertInventory) container() (inventory.Result, error) {
	c := i.alert.Container
	if c == nil {
		return inventory.Result{}, inventory.ErrUnknown
	}
	id := c.ID
	if id == "" {
		id = strings.Repeat(event.ID(c.Name, c.Image), 2) // of the length that Docker's have
	}
	return inventory.Result{Container: docker.Container{ID: id, Name: c.Name, Image: c.Image, Running: true}}, nil
}

// ByID implements attribution.Inventory.
func (i alertInventory) ByID(string) (inventory.Result, error) { return i.container() }

// ByPID implements attribution.Inventory.
func (i alertInventory) ByPID(context.Context, int, time.Time, time.Duration) (inventory.Result, error) {
	return i.container()
}

// ByAddress implements attribution.Inventory. An alert has no address of its container.
func (i alertInventory) ByAddress(context.Context, netip.Addr, time.Time, time.Duration) (inventory.Result, error) {
	return inventory.Result{}, inventory.ErrUnknown
}

// ByName implements attribution.Inventory.
func (i alertInventory) ByName(context.Context, string, time.Time, time.Duration) (inventory.Result, error) {
	return i.container()
}

// List implements attribution.Inventory.
func (i alertInventory) List() []docker.Container {
	found, err := i.container()
	if err != nil {
		return nil
	}
	return []docker.Container{found.Container}
}
