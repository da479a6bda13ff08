package containerguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
)

// maxPanics is after how many deliveries an alert that makes the guard panic is
// dead-lettered. The guard goes on with the others.
const maxPanics = 5

// handle answers one delivered alert. It returns nil, which acknowledges the alert,
// when orders are in the ledger or the alert is among the pending ones, and the actions
// are stored. It is called concurrently; alerts need no order among each other, since
// caps, cooldowns and the ledger are exact under locks.
func (s *Service) handle(ctx context.Context, d bus.Delivery) error {
	a, err := DecodeAlert(d)
	if err != nil {
		s.counters.rejected.Add(1)
		return bus.Reject(err)
	}
	if a.Update {
		s.counters.updates.Add(1)
	} else {
		s.counters.alerts.Add(1)
	}
	w, answered := s.run.Load().answers(a, time.Now())
	if !answered {
		return nil
	}
	answer := s.answerFirst
	if w != nil && !a.Escalated {
		answer = s.answerUpdate
	}
	began := time.Now()
	defer func() { s.answerDuration.Observe(time.Since(began).Seconds()) }()
	err = task.Call(ctx, "response to an alert", func(ctx context.Context) error { return answer(ctx, a, d.Data) })
	if panicked := (*task.PanicError)(nil); errors.As(err, &panicked) {
		now := time.Now()
		s.lastPanic.Store(&now)
		if d.Attempt >= maxPanics {
			return bus.Reject(err)
		}
	}
	return err
}

// urgentRank is that of the least alerts that wait for no others: proven ones of high severity and unproven ones that are critical.
const urgentRank = 2 * int(event.Critical)

// rankAlert returns the rank and the evidence source of a delivered alert: severe ones are answered first, and a source with thousands
// of alerts delays only its own. An alert that is not proven comes one severity lower, after the proven ones of that.
func rankAlert(d bus.Delivery) (rank int, source string) {
	var a event.Alert
	if json.Unmarshal(d.Data, &a) != nil {
		return 0, "" // handle refuses it
	}
	module, host := d.Origin()
	a.Module = module
	source = host + "|" + evidenceSource(&a)
	if a.Container != nil {
		source += "|" + a.Container.ID
	}
	rank = 2*int(a.Severity) + 3
	if !bus.IsModule(module) || a.ClaimedTrust().Rank() <= event.TrustPeer.Rank() {
		rank -= 3
	}
	return rank, source
}

// answerFirst answers an alert by itself. data is its JSON.
func (s *Service) answerFirst(ctx context.Context, a *event.Alert, data []byte) error {
	waiting, err := s.respond(ctx, a, false)
	if err != nil || len(waiting) == 0 {
		return err
	}
	s.counters.waited.Add(1)
	return s.addPending(ctx, a, data, waiting)
}

// DecodeAlert returns the alert of a delivery. It refuses one that names another module
// or host than the subject does, which the server lets only that module publish on.
func DecodeAlert(d bus.Delivery) (*event.Alert, error) {
	var a event.Alert
	if err := event.Decode(d.Data, &a); err != nil {
		return nil, err
	}
	if module, host := d.Origin(); a.Module != module || a.Host != host {
		return nil, fmt.Errorf("alert names module %q on %q as its source, but was published by %s on %s", a.Module, a.Host, module, host)
	}
	return &a, nil
}

// respond evaluates an alert and carries out the decisions. retried says that the alert
// was pending. It returns the decisions whose steps wait for Docker.
func (s *Service) respond(ctx context.Context, a *event.Alert, retried bool) (waiting []decision, err error) {
	if err := s.limitTrust(ctx, a); err != nil {
		return nil, err
	}
	run := s.run.Load()
	e := s.newEvaluator(run, time.Now())
	e.retried = retried
	if a.Update { // an escalated revision: what waits on weaker evidence is decided anew, and keeps its times
		e.waiting = run.waiting.of(a, e.now)
	}
	r := s.newResponse(run, a, e.now)
	decisions := e.evaluate(ctx, a)
	for _, d := range decisions {
		if d.waits {
			waiting = append(waiting, d)
		}
		r.execute(ctx, d)
	}
	if run.noteOwn(e) {
		run.wakeSigned()
	}
	run.keepWaiting(e.waiting, e.waitingAnswer(a, decisions, r.refused), r.acted.Load(), e.now)
	if !r.answered && len(waiting) == 0 {
		s.counters.unmatched.Add(1)
		return nil, nil
	}
	s.saveState(run) // after a crash before this, the ledger and the redelivered alert restore the caps and cooldowns
	if err := run.reporter.flush(ctx); err != nil {
		return nil, err
	}
	return waiting, r.err()
}

func (run *runState) runningContainers() int {
	n := 0
	for _, c := range run.inventory.List() {
		if _, held := run.quarantine.Get(c.ID); c.Running || held {
			n++
		}
	}
	return n
}
