package containerguard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/notify"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// VerbNotify is the act of operators that sends a test message through each notifier. Its request is empty, its answer a NotifyReply.
const VerbNotify = "notify-test"

// notifyTestInterval is the least time between two tests, so that nobody floods the people who are notified.
const notifyTestInterval = 30 * time.Second

// NotifyReply is what came of the test of each notifier.
type NotifyReply struct {
	Notifiers []NotifyTest `json:"notifiers"`
}

// NotifyTest is the test of one notifier.
type NotifyTest struct {
	Notifier   string `json:"notifier"` // webhook
	Sent       bool   `json:"sent"`
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error,omitempty"` // why it was not sent, and what to do
}

// notifyVerb answers VerbNotify. The test is an action of the operator, of kind notify.
func (s *Service) notifyVerb(ctx context.Context, token string, _ []byte) (any, error) {
	if !s.notifier.Configured() {
		return nil, errors.New("no notifier is configured: set container.webhook_url or container.webhook_url_file, then reload")
	}
	if wait := s.notifyTests.begin(time.Now()); wait > 0 {
		return nil, fmt.Errorf("a test was sent less than %v ago: try again in %v", notifyTestInterval, wait.Round(time.Second))
	}
	by, run := bus.OperatorName(token, s.deps.Host), s.run.Load()
	trace := strings.ReplaceAll(uuid.NewString(), "-", "")
	a := event.Action{
		Schema: event.Schema, TraceID: trace, Module: Name, Host: s.deps.Host, Policy: operatorPolicy, Operator: by,
		Kind: string(policy.Notify), Target: webhookTarget, Reason: "a test that an operator asked for",
	}
	report := func(phase event.Phase) {
		a.ID, a.Phase, a.Time = event.ID("guard", s.deps.Host, trace, string(phase)), phase, time.Now().UTC()
		run.reporter.store(ctx, a, intendedTimeout)
	}
	report(event.Intended)
	bounded, cancel := context.WithTimeout(ctx, notifyTestTimeout)
	defer cancel()
	took, err := s.notifier.Test(bounded, notify.Message{
		ID: event.ID("guard", s.deps.Host, trace, "message"), Time: time.Now().UTC(), Host: s.deps.Host, Policy: operatorPolicy, Test: true,
		Text: fmt.Sprintf("[TEST] Ironpost on %s: %s tries out notifications (ironpost notify test). There is no alert, and nothing to do.", s.deps.Host, by),
	})
	test := NotifyTest{Notifier: webhookTarget, Sent: err == nil, DurationMS: took.Milliseconds()}
	a.DurationMS = test.DurationMS
	if err != nil {
		test.Error, a.Error = err.Error(), err.Error()
		report(event.Failed)
	} else {
		s.health.Clear(topicWebhook)
		report(event.Done)
	}
	return NotifyReply{Notifiers: []NotifyTest{test}}, nil
}

// notifyTestTimeout leaves of verbTimeout what the two actions may take.
const notifyTestTimeout = verbTimeout - 2*intendedTimeout

// testLimit lets one test begin in each notifyTestInterval. Its method may be called concurrently.
type testLimit struct {
	mu   sync.Mutex
	last time.Time
}

// begin returns 0 if a test may begin now, which is then the last one, or how long to wait.
func (l *testLimit) begin(now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait = notifyTestInterval - now.Sub(l.last); wait > 0 && !l.last.IsZero() {
		return wait
	}
	l.last = now
	return 0
}
