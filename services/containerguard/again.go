package containerguard

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	// confirmationInterval is how often the kernel is asked for the connections of addresses.
	confirmationInterval = 250 * time.Millisecond
	// retryWaitingInterval is how often it is checked whether there is room, or the time of a step has come.
	retryWaitingInterval = time.Second
)

// wait makes s a dry run until what it needs has come, if that is before a time, unless why, the reason, is "".
func (s *step) wait(n need, until time.Time, why string) {
	if why == "" {
		return
	}
	if s.reason != "" {
		why += "; " + s.reason
	}
	s.outcome, s.need, s.until, s.reason = outcomeDryRun, n, until, why
}

// waitingAnswer returns the steps of decisions that wait, those included that were refused for want of room: verdicts by cooldownKey.
func (e *evaluator) waitingAnswer(a *event.Alert, decisions []decision, refused map[string]verdict) *waitingAnswer {
	kept := *a
	kept.Evidence, kept.Matched = nil, nil
	w := &waitingAnswer{Alert: &kept, Late: e.late, Source: evidenceSource(a), Since: e.now, Steps: map[string]waitingStep{}}
	if e.waiting != nil {
		w.Since = e.waiting.Since
	}
	for _, d := range decisions {
		for _, s := range d.steps {
			saved := waitingStep{Need: s.need, Policy: d.policy.ID, Kind: s.kind, Target: s.target, Reason: s.reason, Until: s.until, Query: s.query, Due: s.due, Approval: s.approval, ApprovedBy: s.approvedBy, Within: s.within}
			if v, ok := refused[cooldownKey(d, s)]; ok {
				saved.Need, saved.Reason, saved.Until, saved.Block = needRoom, v.reason, e.roomUntil(a, s), v.capped
			}
			if saved.Need == "" {
				continue
			}
			if before := e.waitingStep(d, s); e.isWaiting(a) && before.Need == saved.Need {
				saved.Until = before.Until
			}
			if s.container.ID != "" {
				saved.Container = &event.Container{ID: s.container.ID, Name: s.container.Name, Image: s.container.Image}
				saved.Project = s.container.Project
			}
			w.Steps[cooldownKey(d, s)] = saved
		}
	}
	return w
}

// evidenceUntil returns how long better evidence about a is waited for: no longer than a may be acted on.
func (e *evaluator) evidenceUntil(a *event.Alert) time.Time {
	until := e.now.Add(evidenceWait)
	if stale := safety.Deadline(a, e.maxAge); stale.Before(until) {
		return stale
	}
	return until
}

func (e *evaluator) roomUntil(a *event.Alert, s step) time.Time {
	if s.kind.OnContainer() {
		return e.now.Add(containerRoomWait)
	}
	return e.evidenceUntil(a)
}

// isWaiting reports whether a is the alert that waits and not a later one of its matter. It was new enough when it came, and waits no longer than
// it did then.
func (e *evaluator) isWaiting(a *event.Alert) bool { return e.waiting != nil && e.waiting.Alert == a }

// waitingStep returns what waited for s before, empty if nothing did.
func (e *evaluator) waitingStep(d decision, s step) waitingStep {
	if e.waiting == nil {
		return waitingStep{}
	}
	return e.waiting.Steps[cooldownKey(d, s)]
}

// due returns the decisions about the alert of w, or an update of it, with those steps only that w waits for and that are now done,
// those about which an operator is asked anew, and the notification of either. Again is the same for the same steps.
func (w *waitingAnswer) due(decisions []decision) (out []decision, again string) {
	for _, d := range decisions {
		now := func(s step) bool {
			key := cooldownKey(d, s)
			_, waits := w.Steps[key]
			return w.newlyAsked(key, s) || waits && s.need == "" && s.outcome == outcomeAct
		}
		notifies := slices.ContainsFunc(d.steps, now)
		d.steps = slices.DeleteFunc(slices.Clone(d.steps), func(s step) bool { return !now(s) && (!notifies || s.kind != policy.Notify) })
		for _, s := range d.steps {
			again += cooldownKey(d, s) + "\n"
		}
		if !d.waits {
			out = append(out, d)
		}
	}
	return out, again
}

// confirmConnections answers alerts whose address the kernel saw connect, until ctx ends. Asking the kernel takes a tenth of the
// time at most.
func (s *Service) confirmConnections(ctx context.Context) error {
	for pause := time.Duration(0); ctx.Err() == nil; {
		task.Pause(ctx, max(confirmationInterval, pause))
		pause = 9 * s.confirm(ctx, time.Now())
	}
	return nil
}

// confirm answers the alerts whose connection was seen. It returns how long the kernel was asked.
func (s *Service) confirm(ctx context.Context, now time.Time) (asked time.Duration) {
	waiting := s.run.Load().waiting.with(func(st waitingStep) bool { return st.Query != nil }, now)
	if len(waiting) == 0 {
		return 0
	}
	queries := make([]connection.Query, len(waiting))
	for i, w := range waiting {
		queries[i] = *w.query()
	}
	seen, _ := s.connections.Seen(queries) // what is not known is asked again; health has the error
	asked = time.Since(now)
	for i, w := range waiting {
		if seen[i] {
			s.answerWaiting(ctx, w)
		}
	}
	return asked
}

// retryWaiting answers the alerts for which there are enough signs or room, or whose time has come, and reports the steps whose time is over, until
// ctx ends.
func (s *Service) retryWaiting(ctx context.Context) error {
	run := s.run.Load()
	tick := time.NewTicker(retryWaitingInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-run.signed:
		case <-tick.C:
		}
		now := time.Now()
		run.answerReady(run.runningContainers(), now, func(w *waitingAnswer) { s.answerWaiting(ctx, w) })
		s.reportUnanswered(ctx, run, run.waiting.expire(now), "nothing was done in time")
		removed := run.waiting.removeSteps(func(st waitingStep) bool { return st.Container != nil && run.isGone(st.Container.ID) })
		s.reportUnanswered(ctx, run, removed, "the container was removed")
	}
}

// answerReady calls answer for each alert that has a step whose time has come, or for which there are enough signs or room, the strongest first.
func (m *memory) answerReady(running int, now time.Time, answer func(*waitingAnswer)) {
	type share struct {
		source   string
		strength int
	}
	full := map[share]bool{} // what holds for one block of a source holds for as strong ones
	ready := func(key string, w *waitingAnswer) bool {
		st := w.Steps[key]
		switch {
		case st.Need == needTime:
			return !now.Before(st.Due)
		case st.Need == needApproval: // the guard was ended before it was done, or it was another that an operator was asked about
			return st.ApprovedBy != "" || st.Approval == "" && !m.waiting.isAsked(key, w.Alert)
		case st.Need == needSign:
			return safety.Enough(m.signs.About(st.Container.ID, st.Within, now))
		case st.Need != needRoom:
			return false
		case st.Block == nil:
			c := safety.Candidate{Container: st.Container.ID, Project: st.Project, Running: running}
			return m.guardState.Check(c, now) == "" && m.guardState.Cooldown(key, w.Alert.ID, w.Alert.Trust.Rank(), now).IsZero()
		}
		of := share{st.Block.Source, st.Block.Strength}
		full[of] = full[of] || m.blocks.Check(*st.Block, now) != ""
		return !full[of]
	}
	for _, w := range m.waiting.with(waitsForTheGuard, now) {
		for key := range w.Steps {
			if ready(key, w) {
				answer(w) // may use up the room
				break
			}
		}
	}
}

// isGone reports whether a container was removed, also while the guard did not run.
func (run *runState) isGone(id string) bool {
	found, err := run.inventory.ByID(id)
	return err == nil && found.Gone || errors.Is(err, inventory.ErrUnknown) && run.inventory.StaleReason() == ""
}

func waitsForTheGuard(s waitingStep) bool {
	return s.Need == needRoom || s.Need == needTime || s.Need == needSign || s.ApprovedBy != "" || s.Need == needApproval && s.Approval == ""
}

// reportUnanswered reports the steps on containers in list as skipped, for what they waited and why they wait no longer. A proposed block
// was reported as one.
func (s *Service) reportUnanswered(ctx context.Context, run *runState, list []*waitingAnswer, why string) {
	for _, w := range list {
		r := s.newResponse(run, w.Alert, time.Now())
		for key, st := range w.Steps {
			if !st.Kind.OnContainer() {
				continue
			}
			d := decision{policy: &policy.Policy{ID: st.Policy}}
			stopped := step{kind: st.Kind, target: st.Target}
			if c := st.Container; c != nil {
				stopped.container = docker.Container{ID: c.ID, Name: c.Name, Image: c.Image}
			}
			s.counters.skipped.Add(1)
			a := r.action(d, stopped, event.Skipped)
			a.ID, a.Reason = event.ID("unanswered", a.ID, key, w.Since.String()), why+": it waited for "+string(st.Need)+"; "+st.Reason
			run.reporter.add(ctx, a)
		}
	}
}

// answerWaiting answers an alert again because what a step of w needs has come. If that does nothing it waits on, and is not tried at once.
func (s *Service) answerWaiting(ctx context.Context, w *waitingAnswer) {
	waiting, answered := s.run.Load().waiting, false
	err := task.Call(ctx, "answer to a waiting alert", func(ctx context.Context) (err error) {
		answered, err = s.answerAgain(ctx, w.Alert, w)
		return err
	})
	if panicked := (*task.PanicError)(nil); errors.As(err, &panicked) {
		waiting.remove(w)
	}
	if !answered { // something else stands against it, such as a protection
		waiting.pause(w.key(), time.Now().Add(answerPause))
	}
	if err != nil && ctx.Err() == nil {
		s.log.WithError(err).Warn("an alert that waited is not answered yet")
	}
}

// answerUpdate answers an update of an alert of which steps wait, if its evidence is no weaker. What still needs something waits on, with
// the times of the update.
func (s *Service) answerUpdate(ctx context.Context, a *event.Alert, _ []byte) error {
	w := s.run.Load().waiting.of(a, time.Now())
	if w == nil {
		return nil // the first alert of its window was answered
	}
	if err := s.limitTrust(ctx, a); err != nil {
		return err
	}
	if w.strongerThan(a) {
		return nil
	}
	_, err := s.answerAgain(ctx, a, w)
	return err
}

// answerAgain carries out the steps of w that can be done by now, by the evidence of a, its alert or an update of it, and reports whether there were
// any. After an error they are tried again.
func (s *Service) answerAgain(ctx context.Context, a *event.Alert, w *waitingAnswer) (answered bool, err error) {
	run := s.run.Load()
	e := s.newEvaluator(run, time.Now())
	e.waiting = w
	e.late = w.connectsLate(a)
	r := s.newResponse(run, a, e.now)
	r.deadline = e.now.Add(e.maxAge)
	decisions := e.evaluate(ctx, a)
	due, again := w.due(decisions)
	r.again = again
	for _, d := range due {
		r.execute(ctx, d)
	}
	if run.noteOwn(e) {
		run.wakeSigned()
	}
	next := e.waitingAnswer(a, decisions, r.refused)
	if r.answered {
		s.counters.answeredLate.Add(1)
		if err := run.reporter.flush(ctx); err != nil {
			return false, err
		}
		if err := r.err(); err != nil {
			return false, err
		}
	}
	run.nextAnswer(w, next, r.answered, e.now)
	s.saveState(run)
	return r.answered, nil
}

// keepWaiting keeps next, what waits after an alert was answered by itself, in place of w, what waited before, nil if nothing did: w is over if
// something was done or waits anew.
func (m *memory) keepWaiting(w, next *waitingAnswer, acted bool, now time.Time) {
	if w != nil && (acted || len(next.Steps) > 0) {
		m.waiting.end(next.Alert)
	}
	m.waiting.put(next, now)
}

// nextAnswer keeps next, what waits after an answer to the alert of w, or after none if next may take the place of w.
func (m *memory) nextAnswer(w, next *waitingAnswer, answered bool, now time.Time) {
	if answered {
		m.waiting.end(next.Alert)
		m.waiting.put(next, now)
		return
	}
	if len(next.Steps) > 0 && next.Alert.ID == w.Alert.ID || next.succeeds(w) { // of the same alert, what a step needs may be another
		m.waiting.replace(w, next, now)
	}
}
