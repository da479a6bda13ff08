package containerguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/notify"
)

// notify queues the message of a verdict. It goes out once per policy and entity in
// a cooldown, so a flood of alerts is no flood of messages.
func (t *response) notify(ctx context.Context, v decision, s step) {
	switch s.outcome {
	case outcomeSkip:
		t.skip(ctx, v, s, s.reason)
		return
	case outcomeDryRun:
		t.dryRun(ctx, v, s, "")
		return
	}
	if !t.s.notifier.Configured() {
		t.skip(ctx, v, s, "no webhook is configured: container.webhook_url")
		return
	}
	key := v.policy.ID + "|notify|" + t.alert.DedupKey
	if until := t.p.memory.Enter(key, t.alert.ID, v.policy.Cooldown, t.began); !until.IsZero() {
		t.skip(ctx, v, s, "cooldown until "+until.Format(time.RFC3339))
		return
	}
	t.report(ctx, v, s, event.Intended, nil)
	note := t.action(v, s, event.Done)
	switch err := t.s.notifier.Send(t.message(v, s), note); {
	case errors.Is(err, notify.ErrNotSaved):
		t.s.health.say(aboutWebhook, err.Error())
	case err != nil:
		t.s.reportNotification(ctx, note, err, 0)
	}
}

// onNotificationDone reports what came of a message, also of one that an earlier run queued.
// It is called by the notifier, which forgets the message then, so it waits, though
// not for long, until the report is stored.
func (s *Service) onNotificationDone(note json.RawMessage, err error, took time.Duration) {
	var a event.Action
	if json.Unmarshal(note, &a) != nil || a.Validate() != nil {
		return // a damaged file: nobody knows what it was about
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	s.reportNotification(ctx, a, err, took)
	_ = s.run.Load().reporter.flush(ctx) // at worst it is told under the same id after the next start
}

// reportNotification reports the end of a notification.
func (s *Service) reportNotification(ctx context.Context, a event.Action, err error, took time.Duration) {
	a.Phase, a.Time, a.DurationMS = event.Done, time.Now().UTC(), took.Milliseconds()
	if err == nil {
		s.counters.notifications.Add(1)
		s.health.say(aboutWebhook, "")
	} else {
		a.Phase, a.Error = event.Failed, err.Error()
		s.counters.notifyFailures.Add(1)
		s.health.say(aboutWebhook, "the newest notification failed: "+err.Error())
	}
	a.ID = idOf("guard", a.Host, a.AlertID, a.Policy, a.Kind, a.Target, string(a.Phase))
	s.run.Load().reporter.add(ctx, a)
}

func (t *response) message(v decision, s step) notify.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	alert, err := json.Marshal(t.alert)
	if err != nil {
		alert = nil // was decoded, so it can be encoded
	}
	return notify.Message{
		ID: t.id(v, s, "message"), Time: t.began.UTC(), Host: t.s.deps.Host, Policy: v.policy.ID,
		Alert: alert, Outcomes: t.outcomes, Text: messageText(t.s.deps.Host, v.policy.Name, t.alert, t.outcomes),
	}
}

// messageText is what people read: what happened, where, and what was done about it.
func messageText(host, policy string, a *event.Alert, outcomes []notify.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s on %s", strings.ToUpper(a.Severity.String()), printable(a.Title), host)
	if a.Container != nil && a.Container.Name != "" {
		fmt.Fprintf(&b, ", container %s", printable(a.Container.Name))
	}
	if a.Source != nil && a.Source.IP != "" {
		fmt.Fprintf(&b, ", from %s", printable(a.Source.IP))
	}
	fmt.Fprintf(&b, "\nPolicy: %s", policy)
	for _, o := range outcomes {
		fmt.Fprintf(&b, "\n• %s %s: %s", o.Kind, o.Target, o.Phase)
		if o.Reason != "" {
			fmt.Fprintf(&b, " (%s)", printable(o.Reason))
		}
	}
	return b.String()
}

// printable cuts text to maxReason bytes and drops what is not to be printed.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	for len(text) > maxReason {
		cut := []rune(text)
		text = string(cut[:len(cut)-1-(len(text)-maxReason)/4])
	}
	return text
}
