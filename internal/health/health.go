// Package health collects why a module is not healthy. A module sets and clears
// one reason per topic as things change, and its Health method reports them. A new
// module is degraded because it is starting until it says that it has started: a
// check before that finds no false "healthy".
package health

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Starting is the reason of a module that has not started yet.
const Starting = "starting"

// Reason is one sentence about a module and how bad it makes the module's status.
// A Healthy one is a remark: it is shown and degrades nothing. One given to Report may lack a time and a topic.
type Reason = event.Reason

// Reasons holds the current reasons of one module, one per topic. Its methods may
// be called concurrently.
type Reasons struct {
	module, host string
	started      chan struct{} // closed by the first call of Started

	mu       sync.Mutex
	starting bool
	since    time.Time // of the status of the topics
	topics   map[string]Reason
}

// New returns the reasons of a module that is starting.
func New(module, host string) *Reasons {
	return &Reasons{module: module, host: host, started: make(chan struct{}), starting: true, since: time.Now(), topics: map[string]Reason{}}
}

// Started ends the starting status. It reports whether it was the first call.
func (r *Reasons) Started() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.starting {
		return false
	}
	before := worst(r.current())
	r.starting = false
	r.updateSince(before)
	close(r.started)
	return true
}

// WhenStarted returns a channel that Started closes, for a module's own Started method:
// the daemon then waits with its first health report.
func (r *Reasons) WhenStarted() <-chan struct{} { return r.started }

// Set makes the module degraded for reason, in place of the topic's reason so far;
// an empty reason clears the topic. It reports whether something changed, so that
// the caller can log changes alone.
func (r *Reasons) Set(topic, reason string) bool {
	return r.put(topic, Reason{Status: event.Degraded, Text: reason})
}

// SetUnhealthy is Set for a module that does none of its work.
func (r *Reasons) SetUnhealthy(topic, reason string) bool {
	return r.put(topic, Reason{Status: event.Unhealthy, Text: reason})
}

// Remark is Set for a reason that is shown but degrades nothing.
func (r *Reasons) Remark(topic, reason string) bool {
	return r.put(topic, Reason{Status: event.Healthy, Text: reason})
}

// Clear removes the topic's reason and reports whether there was one.
func (r *Reasons) Clear(topic string) bool { return r.put(topic, Reason{}) }

func (r *Reasons) put(topic string, reason Reason) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, before := r.topics[topic], worst(r.current())
	if reason.Text == "" {
		reason = Reason{}
		delete(r.topics, topic)
	} else {
		reason.Topic, reason.Since = topic, old.Since
		if old.Text == "" {
			reason.Since = time.Now().UTC()
		}
		r.topics[topic] = reason
	}
	r.updateSince(before)
	return old.Text != reason.Text || old.Status != reason.Status
}

// updateSince is called after a change; before is the status until then. r.mu is held.
func (r *Reasons) updateSince(before event.Status) {
	if worst(r.current()) != before {
		r.since = time.Now()
	}
}

// current returns the reasons, sorted by topic. r.mu is held.
func (r *Reasons) current() []Reason {
	var out []Reason
	if r.starting {
		out = append(out, Reason{Status: event.Degraded, Text: Starting})
	}
	for _, topic := range slices.Sorted(maps.Keys(r.topics)) {
		out = append(out, r.topics[topic])
	}
	return out
}

// Report returns the health of the module: the worst status of its reasons and of
// more, which are those found at the moment of the call, and the texts, the worst
// first, then by topic, then in the order of more.
func (r *Reasons) Report(counters map[string]uint64, more ...Reason) event.ModuleHealth {
	r.mu.Lock()
	all, since := r.current(), r.since
	r.mu.Unlock()
	all = append(all, more...)
	slices.SortStableFunc(all, func(a, b Reason) int { return cmp.Compare(b.Status, a.Status) })
	h := event.ModuleHealth{
		Name: r.module, Host: r.host, Enabled: true, Status: worst(all), Since: since.UTC(), Counters: counters, Details: all,
	}
	for _, reason := range all {
		h.Reasons = append(h.Reasons, reason.Text)
	}
	return h
}

// Degraded returns texts as reasons that degrade, for Report.
func Degraded(texts ...string) []Reason {
	out := make([]Reason, len(texts))
	for i, text := range texts {
		out[i] = Reason{Status: event.Degraded, Text: text}
	}
	return out
}

func worst(reasons []Reason) event.Status {
	status := event.Healthy
	for _, reason := range reasons {
		status = max(status, reason.Status)
	}
	return status
}
