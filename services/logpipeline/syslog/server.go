package syslog

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Server listens and writes the spool. Make one with New.
type Server struct {
	cfg   Config
	log   logrus.FieldLogger
	spool *spool
	tally tally
	most  atomic.Int64 // Config.MaxMessage

	tried   chan struct{} // closed when every port was tried
	untried sync.WaitGroup

	mu    sync.Mutex
	ports map[string]*port // by transport
	conns map[net.Conn]struct{}
	udp   *net.UDPConn // that receives now, nil for none
	drops uint32       // of it, counted already
}

// port is one address to listen on.
type port struct {
	addr    string        // wanted, "" for none
	bound   net.Addr      // nil while not bound
	err     error         // why not
	changed chan struct{} // told when addr changes, holds one
	first   func()        // tells, once, that it was tried
}

// New returns a Server that has not opened anything. The error says what is wrong
// with cfg.
func New(cfg Config, log logrus.FieldLogger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, log: log, spool: newSpool(cfg), tally: newTally(),
		ports: map[string]*port{}, conns: map[net.Conn]struct{}{}, tried: make(chan struct{}),
	}
	s.most.Store(int64(cfg.MaxMessage))
	for transport, addr := range map[string]string{UDP: cfg.UDP, TCP: cfg.TCP} {
		s.untried.Add(1)
		s.ports[transport] = &port{addr: addr, changed: make(chan struct{}, 1), first: sync.OnceFunc(s.untried.Done)}
	}
	return s, nil
}

// Run listens until ctx ends and returns when every connection and file is
// closed. A port that cannot be bound, a full disk and a full spool are in Stats
// and tried again; they are never an error. The error is that of a panic.
func (s *Server) Run(ctx context.Context) error {
	defer s.spool.close()
	g := task.New(ctx)
	g.Go("syslog udp", func(ctx context.Context) error { return s.keep(ctx, UDP, s.serveUDP) })
	g.Go("syslog tcp", func(ctx context.Context) error {
		return s.keep(ctx, TCP, func(ctx context.Context, addr string) error { return s.serveTCP(ctx, g, addr) })
	})
	g.Go("syslog connections", s.hangUp)
	g.Go("syslog ready", func(context.Context) error {
		s.untried.Wait()
		close(s.tried)
		return nil
	})
	return g.Wait()
}

// keep serves one transport on the address wanted now, until ctx ends.
func (s *Server) keep(ctx context.Context, transport string, serve func(context.Context, string) error) error {
	p := s.ports[transport]
	defer p.first()
	for ctx.Err() == nil {
		addr := s.wanted(p)
		var retry <-chan time.Time
		if addr != "" {
			err := serve(ctx, addr)
			s.settle(p, transport, addr, err)
			if err == nil {
				continue
			}
			retry = time.After(s.cfg.RetryInterval)
		}
		p.first()
		select {
		case <-ctx.Done():
		case <-p.changed:
		case <-retry:
		}
	}
	return nil
}

func (s *Server) wanted(p *port) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.addr
}

// settle notes that p is not bound any more, and says so once for each cause.
func (s *Server) settle(p *port, transport, addr string, err error) {
	s.mu.Lock()
	known := p.err != nil && err != nil && p.err.Error() == err.Error()
	p.bound, p.err = nil, err
	s.mu.Unlock()
	if err != nil && !known {
		s.log.WithError(err).WithFields(logrus.Fields{"transport": transport, "address": addr}).Warn("syslog port not served")
	}
}

func (s *Server) bound(p *port, addr net.Addr, transport string) {
	s.mu.Lock()
	p.bound, p.err = addr, nil
	s.mu.Unlock()
	p.first()
	s.log.WithFields(logrus.Fields{"transport": transport, "address": addr.String()}).Info("listening for syslog")
}

// until waits for the end of ctx or for another address than addr, then closes c,
// which ends the one who reads from it.
func (s *Server) until(ctx context.Context, p *port, addr string, stop <-chan struct{}, closing func() error) error {
	for {
		select {
		case <-ctx.Done():
		case <-stop:
		case <-p.changed:
			if s.wanted(p) == addr {
				continue
			}
		}
		_ = closing() // it was open; the reader sees it closed
		return nil
	}
}

// hangUp closes all connections when ctx ends.
func (s *Server) hangUp(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // its reader sees it closed
	}
	return nil
}

// put writes lines to the spool and waits for room if there is none. It reports
// false if ctx ended first.
func (s *Server) put(ctx context.Context, lines []byte) bool {
	for {
		room := s.spool.waitRoom()
		err := s.spool.append(lines)
		if err == nil {
			s.tally.unblock()
			return true
		}
		s.tally.block()
		retry := time.NewTimer(s.cfg.RetryInterval)
		select {
		case <-ctx.Done():
		case <-room:
		case <-retry.C:
		}
		retry.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
}

// SpoolPattern matches the spool files: give it to tail.Config.Spools.
func (s *Server) SpoolPattern() string {
	quoted := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(filepath.Clean(s.cfg.Dir))
	return filepath.Join(quoted, segmentPrefix+"*"+segmentSuffix)
}

// IsSpoolFile reports whether path is a spool file of this Server, so that a line of it
// must go through Decode.
func (s *Server) IsSpoolFile(path string) bool {
	_, ok := segmentNumber(filepath.Base(path))
	return ok && filepath.Dir(path) == filepath.Clean(s.cfg.Dir)
}

// DeleteConsumed deletes the spool files that committed, a state that is stored, has
// passed. Any goroutine may call it.
func (s *Server) DeleteConsumed(committed tail.State) {
	if err := s.spool.release(committed.Consumed); err != nil {
		s.log.WithError(err).Warn("spool file not deleted")
	}
}

// Started is closed once each port is bound or has failed to be, or Run has returned.
func (s *Server) Started() <-chan struct{} { return s.tried }

// SetLimits changes Config.MaxBytes and Config.MaxMessage. No port and no connection
// notices. Any goroutine may call it; the error says what is wrong with a size, and
// then nothing has changed.
func (s *Server) SetLimits(maxBytes int64, maxMessage int) error {
	if err := (Config{Dir: s.cfg.Dir, MaxBytes: maxBytes, MaxMessage: maxMessage}).Validate(); err != nil {
		return err
	}
	sized := Config{MaxBytes: maxBytes, MaxMessage: maxMessage}.withDefaults()
	s.most.Store(int64(sized.MaxMessage))
	s.spool.resize(sized.MaxBytes)
	return nil
}

func (s *Server) maxMessage() int { return int(s.most.Load()) }

// Rebind listens on other addresses. A listener whose address did not change
// stays open, and so do all connections. Any goroutine may call it; the error says
// what is wrong with an address, and then nothing has changed.
func (s *Server) Rebind(udp, tcp string) error {
	if err := errors.Join(checkAddr(udp), checkAddr(tcp)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[UDP].want(udp)
	s.ports[TCP].want(tcp)
	return nil
}

func (p *port) want(addr string) {
	if p.addr == addr {
		return
	}
	p.addr = addr
	select {
	case p.changed <- struct{}{}:
	default: // told already
	}
}

// Addrs returns the addresses bound now, nil for one that is not.
func (s *Server) Addrs() (udp, tcp net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports[UDP].bound, s.ports[TCP].bound
}
