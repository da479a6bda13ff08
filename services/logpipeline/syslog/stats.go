package syslog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/internal/health"
)

// Reasons for which messages are dropped or connections closed; keys of Stats.Dropped
// and Stats.Closed.
const (
	DropKernel     = "kernel_buffer" // the socket's buffer was full
	DropSpool      = "spool_full"    // Config.MaxBytes reached
	DropDisk       = "disk"          // the file could not be written
	DropEmpty      = "empty"         // a datagram without a byte
	DropPeer       = "peer"          // the sender of the datagram used up its share of Config.UDPQueueBytes
	DropEvicted    = "evicted"       // of a TCP connection that waited for room in the spool and gave way
	CloseFraming   = "framing"       // an impossible frame length
	CloseIdle      = "idle"          // no complete message within Config.IdleTimeout
	CloseLimit     = "limit"         // it gave way to a new one: Config.MaxConns
	ClosePeerLimit = "peer_limit"    // it gave way to a new one of the same peer: Config.MaxConnsPerPeer
	CloseHandshake = "handshake"     // no TLS, or a certificate that is not trusted
	CloseError     = "error"         // reset by the sender, or not accepted
)

// DropReasons returns every key that Stats.Dropped may have.
func DropReasons() []string {
	return []string{DropKernel, DropSpool, DropDisk, DropEmpty, DropPeer, DropEvicted}
}

// CloseReasons returns every key that Stats.Closed may have.
func CloseReasons() []string {
	return []string{CloseFraming, CloseIdle, CloseLimit, ClosePeerLimit, CloseHandshake, CloseError}
}

// Stats is what a Server did so far.
type Stats struct {
	Received     map[string]int64 // messages written to the spool, by transport
	Dropped      map[string]int64 // messages lost, by reason
	Closed       map[string]int64 // TCP connections closed by us or reset, by reason
	Truncated    int64            // messages longer than Config.MaxMessage
	Miscounted   int64            // messages whose octet count was wrong
	Connections  int              // open now
	SpoolBytes   int64            // on disk now
	SpoolFiles   int
	BlockedSince time.Time // TCP senders have been waiting since; zero if they are not
	// Reasons are sentences for the operator, sorted: what does not work and why.
	Reasons []string
	// Remarks are sentences about what senders do wrong and is made up for.
	Remarks []string
}

// Stats returns counters and reasons. Any goroutine may call it at any time.
func (s *Server) Stats() Stats {
	s.countKernelDrops()
	st := s.counters.snapshot()
	if reason := s.counters.drops.Reason("syslog messages were dropped", time.Now()); reason != "" {
		st.Reasons = append(st.Reasons, reason)
	}
	if remark := s.counters.miscounts.Reason("octet counts of syslog messages were wrong, the messages were found without them", time.Now()); remark != "" {
		st.Remarks = append(st.Remarks, remark)
	}
	if remark := s.counters.gaveWay.Reason("syslog connections gave way to new ones: see syslog_max_connections", time.Now()); remark != "" {
		st.Remarks = append(st.Remarks, remark)
	}
	var err error
	var full []string
	st.SpoolFiles, st.SpoolBytes, full, err = s.spool.usage()
	if err != nil {
		st.Reasons = append(st.Reasons, "the syslog spool cannot be written: "+err.Error())
	}
	if n := len(full); n > 0 {
		st.Reasons = append(st.Reasons, fmt.Sprintf("the syslog spool is full for %d senders, among them %s: tcp senders wait, udp messages are dropped", n, full[0]))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Connections = s.conns.len()
	for transport, p := range s.ports {
		if p.addr == "" || p.err == nil {
			continue
		}
		cause := p.err.Error()
		if errors.Is(p.err, syscall.EADDRINUSE) {
			cause = "another program has it"
		}
		st.Reasons = append(st.Reasons, fmt.Sprintf("syslog %s %s is not served: %s", transport, p.addr, cause))
	}
	slices.Sort(st.Reasons)
	return st
}

// counters are the counted fields of Stats.
type counters struct {
	mu     sync.Mutex
	st     Stats
	drops  health.Losses // by reason and sender
	onLoss func(sequence, reason string, n int64)

	miscounts health.Losses
	gaveWay   health.Losses // connections, by close reason and peer
}

// update changes the counters with fn, which must not block.
func (c *counters) update(fn func(st *Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&c.st)
}

// dropped counts n dropped messages of sender, a sequence name, "" if the sender is not known. An empty one is no loss.
func (c *counters) dropped(reason, sender string, n int64) {
	c.update(func(st *Stats) { st.Dropped[reason] += n })
	if reason == DropEmpty || n == 0 {
		return
	}
	c.drops.Add(reason, sender, n, time.Now())
	if c.onLoss != nil {
		c.onLoss(cmp.Or(sender, UDP+"-"), reason, n) // the kernel drops datagrams alone
	}
}

// miscounted counts n messages of sender whose octet count was wrong.
func (c *counters) miscounted(sender string, n int) {
	if n == 0 {
		return
	}
	c.update(func(st *Stats) { st.Miscounted += int64(n) })
	c.miscounts.Add("messages", sender, int64(n), time.Now())
}

// closed counts a TCP connection that was closed or reset; peer is its sequence name.
func (c *counters) closed(reason, peer string) {
	c.update(func(st *Stats) { st.Closed[reason]++ })
	if reason == CloseLimit || reason == ClosePeerLimit {
		c.gaveWay.Add(reason, peer, 1, time.Now())
	}
}

func (c *counters) truncated() { c.update(func(st *Stats) { st.Truncated++ }) }

func (c *counters) snapshot() (out Stats) {
	c.update(func(st *Stats) {
		out = *st
		out.Received, out.Dropped, out.Closed = maps.Clone(st.Received), maps.Clone(st.Dropped), maps.Clone(st.Closed)
	})
	return out
}
