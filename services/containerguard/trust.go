package containerguard

import (
	"context"
	"fmt"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// limitTrust lowers the trust that a claims to what its module may claim. A plug-in that claims none
// has what the operator gave it.
func (s *Service) limitTrust(ctx context.Context, a *event.Alert) error {
	ceiling, err := s.deps.Bus.Ceiling(ctx, a.Module, a.Host)
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

// propose turns the steps of decisions about a that its sender may not cause into dry runs that say
// so. The modules of Ironpost may cause what the policies say; a plug-in what its trust allows.
func propose(a *event.Alert, decisions []decision) {
	if bus.IsModule(a.Module) {
		return
	}
	for _, d := range decisions {
		for i := range d.steps {
			d.steps[i].propose(a.Module, a.Trust)
		}
	}
}

// propose makes s a dry run if an alert of a plug-in with that trust may not cause it. A
// notification harms nothing.
func (s *step) propose(plugin string, trust event.Trust) {
	why := ""
	switch {
	case s.kind == policy.Notify || s.outcome != outcomeAct:
		return
	case trust != event.TrustPeer:
		why = "the plug-in " + plugin + " is unproven"
	case s.kind == policy.BlockSource:
		why = "a block holds on every host, and the plug-in " + plugin + " is trusted on this one"
	default:
		return
	}
	s.outcome, s.proposed = outcomeDryRun, true
	if s.reason != "" {
		why += "; " + s.reason
	}
	s.reason = "proposed only: " + why
}
