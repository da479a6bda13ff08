package containerguard

import (
	"context"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// handle answers one delivered alert. It is nil once the effects are in the ledger,
// or the alert among those that wait, and the reports are stored.
func (s *Service) handle(ctx context.Context, d bus.Delivery) error {
	a, err := decodeAlert(d)
	if err != nil {
		s.counters.rejected.Add(1)
		return bus.Reject(err)
	}
	if a.Update { // the first of its window was answered
		s.counters.updates.Add(1)
		return nil
	}
	defer s.answered(time.Now())
	s.counters.alerts.Add(1)
	waits, err := s.respond(ctx, a, false)
	if err == nil && waits {
		s.counters.waited.Add(1)
		err = s.addPending(ctx, a, d.Data)
	}
	return err
}

// decodeAlert reads an alert that says of itself what the server knows of its
// publisher: the subject is what the key of a module permits.
func decodeAlert(d bus.Delivery) (*event.Alert, error) {
	var a event.Alert
	if err := event.Decode(d.Data, &a); err != nil {
		return nil, err
	}
	if module, host := d.Origin(); a.Module != module || a.Host != host {
		return nil, fmt.Errorf("alert says it is of %q on %q, but %s on %s published it", a.Module, a.Host, module, host)
	}
	return &a, nil
}

// newEvaluator returns a judge for now.
func (s *Service) newEvaluator(p *runState, now time.Time) *evaluator {
	cfg := s.config()
	return &evaluator{
		set: s.policies.Load(), inventory: p.inventory, away: p.inventory.StaleReason(), protect: s.protections.Load(),
		addresses: cfg.addresses(), maxAge: cfg.maxAge(), auto: cfg.AutoIsolate, now: now,
	}
}

// respond judges a and does what is to be done. waits tells that its container part
// waits for Docker; again that it has done so.
func (s *Service) respond(ctx context.Context, a *event.Alert, again bool) (waits bool, err error) {
	p := s.run.Load()
	j := s.newEvaluator(p, time.Now())
	j.again = again
	verdicts := j.alert(ctx, a)
	t := &response{s: s, p: p, alert: a, began: j.now, running: running(p)}
	for _, v := range verdicts {
		waits = waits || v.waits
		t.carry(ctx, v)
	}
	if !t.answered && !waits {
		s.counters.unmatched.Add(1)
		return false, nil
	}
	s.saveState(p) // what a crash before this loses is in the ledger, or comes again with the alert
	if err := p.reporter.flush(ctx); err != nil {
		return false, err
	}
	return waits, t.err()
}

func running(p *runState) int {
	n := 0
	for _, c := range p.inventory.List() {
		if c.Running {
			n++
		}
	}
	return n
}
