package containerguard

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// maxReason bounds, in bytes, text from outside in reasons.
const maxReason = bus.MaxBlockReason

// action returns the action that reports one phase of a step.
func (r *response) action(d decision, s step, phase event.Phase) event.Action {
	a := event.Action{
		ID: r.id(d, s, string(phase)), Schema: event.Schema, TraceID: r.alert.TraceID, Time: time.Now().UTC(),
		Module: Name, Host: r.guard.deps.Host, AlertID: r.alert.ID, Policy: d.policy.ID, Operator: s.approvedBy, Kind: string(s.kind),
		Target: s.target, Phase: phase, Reason: actionReason(r.alert, s),
	}
	if s.container.ID != "" {
		a.Container = &event.Container{ID: s.container.ID, Name: s.container.Name, Image: s.container.Image}
	}
	return a
}

// actionReason is the alert in words, then the reason of the step.
func actionReason(a *event.Alert, s step) string {
	text := fmt.Sprintf("%s alert %q", a.Severity, a.Title)
	if s.reason != "" {
		text += "; " + s.reason
	}
	return text
}

// report queues the action of one phase of a step; change may complete it.
func (r *response) report(ctx context.Context, d decision, s step, phase event.Phase, change func(*event.Action)) {
	a := r.action(d, s, phase)
	if change != nil {
		change(&a)
	}
	r.run.reporter.add(ctx, a)
}

// dryRun reports what would have been done, or what would have prevented it.
func (r *response) dryRun(ctx context.Context, d decision, s step, refused string) {
	r.guard.counters.dryRuns.Add(1)
	text, what := "would "+string(s.kind), "dry run"
	if refused != "" {
		text = "would not " + string(s.kind) + ": " + refused
	}
	if s.need == needApproval || s.need == needTime {
		what = s.reason
	}
	r.reportSkipped(ctx, d, s, what, func(a *event.Action) {
		a.DryRun, a.Reason = true, text+"; "+actionReason(r.alert, s)
	})
	r.addOutcome(s, string(event.Skipped), what+": "+text)
}

// skip reports why nothing is done.
func (r *response) skip(ctx context.Context, d decision, s step, reason string) {
	r.guard.counters.skipped.Add(1)
	r.reportSkipped(ctx, d, s, reason, func(a *event.Action) { a.Reason = reason })
	r.addOutcome(s, string(event.Skipped), reason)
}

// reportSkipped reports that nothing was done, but the same about the same target once
// a minute only: ten thousand alerts about one container are one matter for a reader.
func (r *response) reportSkipped(ctx context.Context, d decision, s step, reason string, change func(*event.Action)) {
	subject := ""
	if s.kind.OnContainer() && s.container.ID == "" { // the target is only what the alert says: keep different alerts apart
		subject = r.alert.DedupKey
	}
	if !r.guard.repeatFilter.first(r.now, reason, d.policy.ID, string(s.kind), s.target, subject) {
		r.guard.counters.unreported.Add(1)
		return
	}
	r.report(ctx, d, s, event.Skipped, change)
}

const (
	repeatInterval = time.Minute
	maxReported    = 4096 // beyond it everything is forgotten, so some skips are reported again
)

// repeatFilter remembers for a minute which skips were reported. Its methods may be
// called concurrently.
type repeatFilter struct {
	mu       sync.Mutex
	reported map[string]time.Time
}

func newRepeatFilter() *repeatFilter { return &repeatFilter{reported: map[string]time.Time{}} }

// first reports whether reason was not reported about subject within a minute before
// now, and remembers it. Digits in the reason, such as those of an age, do not count.
func (f *repeatFilter) first(now time.Time, reason string, subject ...string) bool {
	key := strings.Join(append(subject, withoutDigits(reason)), "\x00")
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, known := f.reported[key]; known && now.Sub(at) < repeatInterval {
		return false
	}
	if len(f.reported) >= maxReported {
		maps.DeleteFunc(f.reported, func(_ string, at time.Time) bool { return now.Sub(at) >= repeatInterval })
	}
	if len(f.reported) >= maxReported {
		clear(f.reported)
	}
	f.reported[key] = now
	return true
}

func withoutDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}
