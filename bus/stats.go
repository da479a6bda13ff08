package bus

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// PublisherStats counts what a Publisher did.
type PublisherStats struct {
	Published  uint64 // records stored
	Duplicates uint64 // records that turned out to be stored before
	Retries    uint64 // attempts after the first
	Refused    uint64 // records that event.Encode refused
	// Lost is by how many sequences, of any publisher, the stream ended before the
	// sequence given to Resume: its store was damaged or replaced.
	Lost           uint64
	BlockedSince   time.Time // zero while no call is blocked
	BlockedSeconds float64   // in total
}

// stats is what a Publisher counts. Its methods may be called concurrently.
type stats struct {
	published, duplicates, retries, refused, lost, lastSeq atomic.Uint64

	blocked atomic.Bool // since is not zero; spares the lock
	mu      sync.Mutex
	since   time.Time
	total   time.Duration
}

// LastSeq returns the newest sequence of the stream that is known to be a record of
// this publisher, 0 if none is.
func (p *Publisher) LastSeq() uint64 { return p.stats.lastSeq.Load() }

// Stats returns the counts so far.
func (p *Publisher) Stats() PublisherStats {
	c := &p.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	total := c.total
	if !c.since.IsZero() {
		total += time.Since(c.since)
	}
	return PublisherStats{
		Published: c.published.Load(), Duplicates: c.duplicates.Load(),
		Retries: c.retries.Load(), Refused: c.refused.Load(), Lost: c.lost.Load(),
		BlockedSince: c.since, BlockedSeconds: total.Seconds(),
	}
}

func (c *stats) stored(a *jetstream.PubAck) {
	c.reached(a.Sequence)
	if a.Duplicate {
		c.duplicates.Add(1)
		return
	}
	c.published.Add(1)
}

// reached moves lastSeq forward, never back: the ack of a duplicate has the sequence
// of the first.
func (c *stats) reached(seq uint64) {
	for {
		have := c.lastSeq.Load()
		if seq <= have || c.lastSeq.CompareAndSwap(have, seq) {
			return
		}
	}
}

func (c *stats) block() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		c.since = time.Now()
		c.blocked.Store(true)
	}
}

func (c *stats) unblock() {
	if !c.blocked.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += time.Since(c.since)
	c.since = time.Time{}
	c.blocked.Store(false)
}
