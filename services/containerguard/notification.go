package containerguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/notify"
)

// notify queues the notification of a decision.
func (r *response) notify(ctx context.Context, d decision, s step) {
	r.report(ctx, d, s, event.Intended, nil)
	done := r.action(d, s, event.Done)
	switch err := r.guard.notifier.Send(r.message(d, s), done); {
	case errors.Is(err, notify.ErrNotSaved):
		r.guard.health.Set(topicWebhook, err.Error())
	case err != nil:
		r.guard.reportNotification(ctx, done, err, 0)
	}
}

func (r *response) message(d decision, s step) notify.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	alert, err := json.Marshal(r.alert)
	if err != nil {
		alert = nil // cannot be: it was decoded from JSON
	}
	return notify.Message{
		ID: r.id(d, s, "message"), Time: r.now.UTC(), Host: r.guard.deps.Host, Policy: d.policy.ID,
		Alert: alert, Outcomes: r.outcomes, Text: messageText(r.guard.deps.Host, d.policy.Name, r.alert, r.outcomes),
	}
}

// messageText returns the text for people: the alert, where, and the outcomes.
func messageText(host, policy string, a *event.Alert, outcomes []notify.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s on %s", strings.ToUpper(a.Severity.String()), event.Printable(a.Title, maxReason), host)
	if a.Container != nil && a.Container.Name != "" {
		fmt.Fprintf(&b, ", container %s", event.Printable(a.Container.Name, maxReason))
	}
	if a.Source != nil && a.Source.IP != "" {
		fmt.Fprintf(&b, ", from %s", event.Printable(a.Source.IP, maxReason))
	}
	if a.User != "" {
		fmt.Fprintf(&b, ", user %s", event.Printable(a.User, maxReason))
	}
	if a.LogHost != "" && a.LogHost != host {
		fmt.Fprintf(&b, "\nHost in the line: %s", event.Printable(a.LogHost, maxReason))
	}
	if len(a.Evidence) > 0 {
		fmt.Fprintf(&b, "\nLine: %s", event.Printable(a.Evidence[0], maxReason))
	}
	fmt.Fprintf(&b, "\nOrigin: %s", event.Printable(originText(a), maxReason))
	fmt.Fprintf(&b, "\nPolicy: %s", policy)
	for _, o := range outcomes {
		fmt.Fprintf(&b, "\n• %s %s: %s", o.Kind, o.Target, o.Phase)
		if o.Reason != "" {
			fmt.Fprintf(&b, " (%s)", event.Printable(o.Reason, maxReason))
		}
	}
	if a.Count > 1 {
		fmt.Fprintf(&b, "\nMatches: %d since %s", a.Count, a.FirstSeen.UTC().Format(time.RFC3339))
	}
	if id := event.ShortID(a.SeriesID()); safeID.MatchString(id) {
		fmt.Fprintf(&b, "\nMore: ironpost alerts show %s", id)
	}
	return b.String()
}

// safeID matches an id that is one word when it is pasted into a shell: a plug-in chooses its ids.
var safeID = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// originText says where the event of a came from and how far that is proven.
func originText(a *event.Alert) string {
	text := string(a.Trust)
	if a.Origin == nil {
		return text
	}
	for _, part := range []string{a.Origin.Transport, a.Origin.Peer, a.Origin.Source} {
		if part != "" {
			text += ", " + part
		}
	}
	return text
}

// onNotificationDone reports how sending a message ended, also one that an earlier run
// queued; note is its action. The notifier removes the message when this returns, so it
// waits, for no longer than drainTimeout, until the report is stored.
func (s *Service) onNotificationDone(note json.RawMessage, err error, took time.Duration) {
	var a event.Action
	if json.Unmarshal(note, &a) != nil || a.Validate() != nil {
		return // the file was damaged: its action is not known
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	s.reportNotification(ctx, a, err, took)
	_ = s.run.Load().reporter.flush(ctx) // at worst the next start sends and reports it again, under the same ids
}

// reportNotification reports the end of a notification, err if it was not sent.
func (s *Service) reportNotification(ctx context.Context, a event.Action, err error, took time.Duration) {
	a.Phase, a.Time, a.DurationMS = event.Done, time.Now().UTC(), took.Milliseconds()
	if err == nil {
		s.counters.notifications.Add(1)
		s.health.Clear(topicWebhook)
	} else {
		a.Phase, a.Error = event.Failed, err.Error()
		s.counters.notifyFailures.Add(1)
		s.health.Set(topicWebhook, "the newest notification failed: "+err.Error())
	}
	a.ID = event.ID("guard", a.Host, a.AlertID, a.Policy, a.Kind, a.Target, string(a.Phase))
	s.run.Load().reporter.add(ctx, a)
}
