package containerguard

import (
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
)

// stage makes s wait if its policy does it later, or asks an operator first. So does a step on a target on which an earlier one of the
// policy still waits: what comes after it is counted from when that is done.
func (e *evaluator) stage(a *event.Alert, d decision, s *step) {
	key := cooldownKey(d, *s)
	n, after := d.policy.StepOf(s.kind)
	switch earlier := earlierWaits(d, s, n); {
	case d.policy.Steps[n].Approve && s.kind.OnContainer():
		e.ask(a, d, s)
	case earlier != nil:
		s.wait(earlier.need, earlier.until, "the policy does it after "+string(earlier.kind)+", which waits")
	case after > 0:
		s.due = e.now.Add(after)
		if e.waiting != nil && !e.waiting.Steps[key].Due.IsZero() {
			s.due = e.waiting.Steps[key].Due
		}
		if e.now.Before(s.due) {
			s.wait(needTime, s.due.Add(evidenceWait), fmt.Sprintf("the policy does it after %s, at %s", after, s.due.UTC().Format(time.TimeOnly+" MST")))
		}
	}
}

// earlierWaits returns a step of a part of the policy before n, on the target of s, that waits for something else than its time, nil if none does.
func earlierWaits(d decision, s *step, n int) *step {
	for i := range d.steps {
		other := &d.steps[i]
		if part, _ := d.policy.StepOf(other.kind); part < n && other.target == s.target && other.need != "" && other.need != needTime {
			return other
		}
	}
	return nil
}

// ask makes s wait for an operator, unless one has approved exactly that, or is asked about the same already by evidence as strong.
func (e *evaluator) ask(a *event.Alert, d decision, s *step) {
	key := cooldownKey(d, *s)
	id := approvalID(a, d, *s)
	var mine waitingStep
	if e.waiting != nil {
		mine = e.waiting.Steps[key]
	}
	if mine.Approval == id && mine.ApprovedBy != "" {
		s.approval, s.approvedBy = id, mine.ApprovedBy
		s.reason = "approved by " + mine.ApprovedBy + "; " + s.reason
		return
	}
	if e.asked != nil && mine.Approval == "" && e.asked(key, a) {
		s.wait(needApproval, e.now.Add(e.approvalTimeout), "an operator is asked already, because of another alert")
		return
	}
	s.approval = id
	s.wait(needApproval, e.now.Add(e.approvalTimeout), "waits for ironpost approve "+id)
	if mine.Approval == id { // whatever comes about it, the request stays the same
		s.until = mine.Until
	}
}

// approvalID identifies what an operator is asked: the policy, the action, the container and the evidence. What differs in one of them is
// another request, but not how often or from where the evidence came, or an attacker with many addresses would end each request.
func approvalID(a *event.Alert, d decision, s step) string {
	const digits = 12
	return event.ID("approval", d.policy.ID, string(s.kind), s.container.ID, a.SeriesID(), a.Rule.ID, a.Severity.String(), string(a.Trust))[:digits]
}

// isAsked reports whether an operator is asked about the step with key because of another alert than a with as strong evidence.
func (l *waitingList) isAsked(key string, a *event.Alert) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := &waitingAnswer{Alert: a}
	for _, w := range l.byKey {
		if s := w.Steps[key]; s.Approval != "" && w.key() != mine.key() && compareStrength(w, mine) >= 0 {
			return true
		}
	}
	return false
}

// newlyAsked reports whether s is a request to an operator that w does not have.
func (w *waitingAnswer) newlyAsked(key string, s step) bool {
	return s.need == needApproval && s.approval != "" && w.Steps[key].Approval != s.approval
}
