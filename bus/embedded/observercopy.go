package embedded

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const (
	// copyQueue and copyQueueBytes bound, for each subject, the records that wait to be copied.
	copyQueue      = 4096
	copyQueueBytes = 16 << 20
	// copyRate and copyBurst are how many bytes the server may deliver to all observers together, in a second and at once.
	copyRate  = 32 << 20
	copyBurst = 32 << 20
	// skippedTold is for how long it is told that records were not copied.
	skippedTold = time.Minute
)

// copier publishes for observers what streams republish, and the daemon's health: a copy without evidence, unless evidence is set.
// What does not fit its bounds is skipped: an observer neither delays the others nor what is observed. Its methods may be called concurrently.
type copier struct {
	outside   *nats.Conn
	evidence  bool
	observers *quota

	mu            sync.Mutex
	budget        bucket
	subscriptions []*nats.Subscription
	dropped       int // of those that found the queue full, how many are among skipped

	skipped     atomic.Uint64
	lastSkipped atomic.Int64 // Unix time in nanoseconds
}

// openCopier starts copying from the account of modules to that of observers.
func openCopier(inside, outside *nats.Conn, observers *quota, evidence bool) (*copier, error) {
	c := &copier{outside: outside, evidence: evidence, observers: observers, budget: bucket{rate: copyRate, burst: copyBurst}}
	for _, subject := range bus.ObserverSubjects() {
		s, err := inside.Subscribe(subject, c.copy)
		if err != nil {
			return nil, err
		}
		if err := s.SetPendingLimits(copyQueue, copyQueueBytes); err != nil {
			return nil, err
		}
		c.subscriptions = append(c.subscriptions, s)
	}
	return c, nil
}

// copy publishes what observers see of m, if there are any.
func (c *copier) copy(m *nats.Msg) {
	receivers := c.observers.subscribers()
	if receivers == 0 {
		return
	}
	data, err := c.observed(m)
	if err != nil || !c.fits(receivers*len(data)) {
		c.skip(1)
		return
	}
	out := &nats.Msg{Subject: m.Subject, Data: data, Header: nats.Header{}}
	for _, name := range observedHeaders() {
		if value := m.Header.Get(name); value != "" {
			out.Header.Set(name, value)
		}
	}
	if c.outside.PublishMsg(out) != nil { // the server is being restarted, and has no observers
		c.skip(1)
	}
}

// observed returns what observers see of m.
func (c *copier) observed(m *nats.Msg) ([]byte, error) {
	if c.evidence || m.Subject == bus.HealthSubject {
		return m.Data, nil
	}
	var seen any
	var err error
	if m.Subject == bus.RepublishedAlerts {
		var a event.Alert
		err = event.Decode(m.Data, &a)
		seen = a.Observed()
	} else {
		var a event.Action
		err = event.Decode(m.Data, &a)
		seen = a.Observed()
	}
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(seen)
	return event.PrintableJSON(data), err
}

// observedHeaders are those of records, and of where the stream has them.
func observedHeaders() []string {
	return []string{
		bus.HeaderID, bus.HeaderSeverity, bus.HeaderRule, bus.HeaderSchema, bus.HeaderTraceparent, bus.HeaderContentType,
		"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Last-Sequence", "Nats-Time-Stamp",
	}
}

// fits takes n bytes of the budget, and returns false if it is used up.
func (c *copier) fits(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.budget.idle(now) {
		return false
	}
	c.budget.take(n, now)
	return true
}

func (c *copier) skip(n uint64) {
	c.skipped.Add(n)
	c.lastSkipped.Store(time.Now().UnixNano())
}

// skippedSoFar returns how many records were skipped, those included that found the queue full, and whether some were within skippedTold.
func (c *copier) skippedSoFar() (n uint64, recently bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := 0
	for _, s := range c.subscriptions {
		if d, err := s.Dropped(); err == nil {
			dropped += d
		}
	}
	if more := dropped - c.dropped; more > 0 {
		c.dropped = dropped
		c.skip(uint64(more))
	}
	return c.skipped.Load(), time.Since(time.Unix(0, c.lastSkipped.Load())) < skippedTold
}
