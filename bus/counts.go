package bus

import (
	"sync"
	"sync/atomic"
	"time"
)

// PublisherStats counts what a Publisher did. Published were stored, Duplicates
// turned out to be stored before, Retries were sent again, Refused were no records. Lost is by
// how many sequences, of any publisher, the stream ended before what Resume was told is stored: its
// store was damaged.
// BlockedSince is zero while nothing is blocked; BlockedSeconds is the total.
type PublisherStats struct {
	Published      uint64
	Duplicates     uint64
	Retries        uint64
	Refused        uint64
	Lost           uint64
	BlockedSince   time.Time
	BlockedSeconds float64
}

type counts struct {
	published, duplicates, retries, refused, lost, lastSeq atomic.Uint64

	blocked atomic.Bool // mirrors !since.IsZero(), to spare the lock
	mu      sync.Mutex
	since   time.Time
	total   time.Duration
}

// LastSeq returns the newest sequence of the stream that is known to be a record
// of this publisher, 0 if none is: what a checkpoint keeps, and Resume takes.
func (p *Publisher) LastSeq() uint64 { return p.counts.lastSeq.Load() }

// Stats returns the counts so far.
func (p *Publisher) Stats() PublisherStats {
	c := &p.counts
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

func (c *counts) stored(a ack) {
	c.reached(a.Sequence)
	if a.Duplicate {
		c.duplicates.Add(1)
		return
	}
	c.published.Add(1)
}

// reached moves lastSeq forward, never back: a duplicate is answered with the
// sequence of the first.
func (c *counts) reached(seq uint64) {
	for {
		have := c.lastSeq.Load()
		if seq <= have || c.lastSeq.CompareAndSwap(have, seq) {
			return
		}
	}
}

func (c *counts) block() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		c.since = time.Now()
		c.blocked.Store(true)
	}
}

func (c *counts) unblock() {
	if !c.blocked.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += time.Since(c.since)
	c.since = time.Time{}
	c.blocked.Store(false)
}
