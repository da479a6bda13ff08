package syslog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Reasons for which messages were dropped, connections closed; keys of Stats.
const (
	DropKernel   = "kernel_buffer" // the socket's buffer was full
	DropSpool    = "spool_full"    // Config.MaxBytes reached
	DropDisk     = "disk"          // the file could not be written
	DropEmpty    = "empty"         // a datagram without a byte
	CloseFraming = "framing"       // a length that cannot be
	CloseIdle    = "idle"          // no complete message within Config.Idle
	CloseLimit   = "limit"         // more than Config.MaxConns
	CloseError   = "error"         // reset by the sender, or not accepted
)

// DropReasons returns every key that Stats.Dropped may have.
func DropReasons() []string { return []string{DropKernel, DropSpool, DropDisk, DropEmpty} }

// CloseReasons returns every key that Stats.Closed may have.
func CloseReasons() []string {
	return []string{CloseFraming, CloseIdle, CloseLimit, CloseError}
}

// Stats is what a Server did so far.
type Stats struct {
	Received     map[string]int64 // messages written to the spool, by transport
	Dropped      map[string]int64 // UDP messages lost, by reason
	Closed       map[string]int64 // TCP connections closed by us or reset, by reason
	Truncated    int64            // messages longer than Config.MaxMessage
	Connections  int              // open now
	SpoolBytes   int64            // on disk now
	SpoolFiles   int
	BlockedSince time.Time // TCP senders have been waiting since; zero if they are not
	// Reasons are sentences for the operator, sorted: what does not work and why.
	Reasons []string
}

// Stats returns counters and reasons. Any goroutine may call it at any time.
func (s *Server) Stats() Stats {
	s.countDrops()
	st := s.tally.snapshot()
	var err error
	st.SpoolFiles, st.SpoolBytes, err = s.spool.usage()
	if err != nil {
		st.Reasons = append(st.Reasons, spoolReason(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Connections = len(s.conns)
	for transport, p := range s.ports {
		if p.addr != "" && p.err != nil {
			st.Reasons = append(st.Reasons, bindReason(transport, p))
		}
	}
	slices.Sort(st.Reasons)
	return st
}

func spoolReason(err error) string {
	if errors.Is(err, errFull) {
		return "the syslog spool is full: tcp senders wait, udp messages are dropped"
	}
	return "the syslog spool cannot be written: " + err.Error()
}

func bindReason(transport string, p *port) string {
	what := p.err.Error()
	if errors.Is(p.err, syscall.EADDRINUSE) {
		what = "another program has the port"
	}
	return fmt.Sprintf("syslog %s %s is not served: %s", transport, p.addr, what)
}

// tally counts for Stats.
type tally struct {
	mu *sync.Mutex
	st Stats
}

func newTally() tally {
	return tally{mu: &sync.Mutex{}, st: Stats{Received: map[string]int64{}, Dropped: map[string]int64{}, Closed: map[string]int64{}}}
}

func (t *tally) took(transport string, n int64) { t.add(t.st.Received, transport, n) }
func (t *tally) drop(reason string, n int64)    { t.add(t.st.Dropped, reason, n) }
func (t *tally) close(reason string)            { t.add(t.st.Closed, reason, 1) }

func (t *tally) add(counts map[string]int64, key string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts[key] += n
}

func (t *tally) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.Truncated++
}

func (t *tally) block() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.st.BlockedSince.IsZero() {
		t.st.BlockedSince = time.Now()
	}
}

func (t *tally) unblock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.st.BlockedSince = time.Time{}
}

func (t *tally) snapshot() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := t.st
	st.Received, st.Dropped, st.Closed = maps.Clone(st.Received), maps.Clone(st.Dropped), maps.Clone(st.Closed)
	return st
}
