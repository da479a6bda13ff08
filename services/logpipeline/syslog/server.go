package syslog

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Server listens and writes the spool. Make one with New. All methods but Run may be
// called from any goroutine.
type Server struct {
	cfg      Config
	log      logrus.FieldLogger
	spool    *spool
	conns    *connTable
	counters counters
	limits   atomic.Pointer[Config] // those that SetLimits changes
	tls      atomic.Pointer[tls.Config]

	started chan struct{} // closed when every port was attempted

	mu    sync.Mutex
	ports map[string]*port // by transport
	udp   *net.UDPConn     // the open UDP socket, nil for none
	drops uint32           // of it, counted already
}

// port is one address to listen on. Server.mu guards it.
type port struct {
	addr      string        // configured, "" for none
	bound     net.Addr      // nil while it is not bound
	err       error         // why it is not
	changed   chan struct{} // a token when addr has changed
	attempted func()        // called once it was tried to bind
}

// New returns a Server that has not opened anything. The error says what is wrong
// with cfg.
func New(cfg Config, log logrus.FieldLogger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, log: log, spool: newSpool(cfg), conns: newConnTable(),
		counters: counters{onLoss: cfg.OnLoss, st: Stats{Received: map[string]int64{}, Dropped: map[string]int64{}, Closed: map[string]int64{}}},
		ports:    map[string]*port{}, started: make(chan struct{}),
	}
	s.limits.Store(&cfg)
	_ = s.loadTLS(cfg) // serveTCP says it, and tries again
	addrs := cfg.addrs()
	var left atomic.Int32
	left.Store(int32(len(addrs)))
	for transport, addr := range addrs {
		s.ports[transport] = &port{addr: addr, changed: make(chan struct{}, 1), attempted: sync.OnceFunc(func() {
			if left.Add(-1) == 0 {
				close(s.started)
			}
		})}
	}
	return s, nil
}

// Run listens until ctx ends and returns when every connection and file is closed. A
// port that cannot be bound, a full disk and a full spool are in Stats and tried again;
// they are never an error. The error is that of a panic.
func (s *Server) Run(ctx context.Context) error {
	defer s.spool.close()
	g := task.New(ctx)
	g.Go("syslog udp", func(ctx context.Context) error { return s.servePort(ctx, UDP, s.serveUDP) })
	for _, transport := range []string{TCP, TLS} {
		g.Go("syslog "+transport, func(ctx context.Context) error {
			return s.servePort(ctx, transport, func(ctx context.Context, addr string) error { return s.serveTCP(ctx, g, transport, addr) })
		})
	}
	g.Go("syslog unix", func(ctx context.Context) error { return s.servePort(ctx, Unix, s.serveUnix) })
	g.Go("syslog connections", s.closeConnections)
	return g.Wait()
}

// servePort serves one transport on the address configured now, until ctx ends.
func (s *Server) servePort(ctx context.Context, transport string, serve func(context.Context, string) error) error {
	p := s.ports[transport]
	defer p.attempted()
	for ctx.Err() == nil {
		addr := s.configured(p)
		var retry <-chan time.Time
		if addr != "" {
			err := serve(ctx, addr)
			s.portClosed(p, transport, addr, err)
			if err == nil {
				continue
			}
			retry = time.After(s.cfg.RetryInterval)
		}
		p.attempted()
		select {
		case <-ctx.Done():
		case <-p.changed:
		case <-retry:
		}
	}
	return nil
}

func (s *Server) configured(p *port) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.addr
}

// portBound records that p is bound to addr.
func (s *Server) portBound(p *port, transport string, addr net.Addr) {
	s.mu.Lock()
	p.bound, p.err = addr, nil
	s.mu.Unlock()
	p.attempted()
	s.log.WithFields(logrus.Fields{"transport": transport, "address": addr.String()}).Info("listening for syslog")
}

// portClosed records that p is not bound any more, and logs each cause once.
func (s *Server) portClosed(p *port, transport, addr string, err error) {
	s.mu.Lock()
	known := p.err != nil && err != nil && p.err.Error() == err.Error()
	p.bound, p.err = nil, err
	s.mu.Unlock()
	if err != nil && !known {
		s.log.WithError(err).WithFields(logrus.Fields{"transport": transport, "address": addr}).Warn("syslog port not served")
	}
}

// closeAfter calls closeSocket, which ends the goroutine reading from it, when ctx or that
// goroutine has ended or p is configured with another address than addr.
func (s *Server) closeAfter(ctx context.Context, p *port, addr string, ended <-chan struct{}, closeSocket func() error) error {
	for {
		select {
		case <-ctx.Done():
		case <-ended:
		case <-p.changed:
			if s.configured(p) == addr {
				continue
			}
		}
		_ = closeSocket() // it was open; the reader sees it closed
		return nil
	}
}

// SpoolPattern matches the spool files: give it to tail.Config.Spools.
func (s *Server) SpoolPattern() string {
	quoted := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(filepath.Clean(s.cfg.Dir))
	return filepath.Join(quoted, segmentPrefix+"*"+segmentSuffix)
}

// CreateDir creates Config.Dir if it is missing, so that whoever watches it from then on learns of the first message at once. What it cannot
// create is tried again with each message.
func (s *Server) CreateDir() { _ = os.MkdirAll(s.cfg.Dir, spoolMode) }

// IsSpoolFile reports whether path is a spool file of this Server: its lines must go
// through DecodeRecord.
func (s *Server) IsSpoolFile(path string) bool {
	_, _, ok := parseSegment(filepath.Base(path))
	return ok && filepath.Dir(path) == filepath.Clean(s.cfg.Dir)
}

// SenderOf returns whose messages the spool file path holds: a transport and an address, or "others"; "" in files of earlier versions,
// which hold those of all.
func SenderOf(path string) string {
	name, _, _ := parseSegment(filepath.Base(path))
	return name
}

// DeleteConsumed deletes the spool files that were read to their end according to
// stored, a state that is on disk.
func (s *Server) DeleteConsumed(stored tail.State) {
	if err := s.spool.deleteConsumed(stored.Consumed); err != nil {
		s.log.WithError(err).Warn("cannot delete a spool file that was read")
	}
}

// Started is closed once each port is bound or could not be, or Run has returned.
func (s *Server) Started() <-chan struct{} { return s.started }

// SetLimits changes what Config limits, but for SegmentBytes and RetryInterval, to the limits of c. Ports and connections stay
// open; those beyond a new limit give way to new ones. The error says what is wrong with a limit, and then nothing has changed.
func (s *Server) SetLimits(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c = c.withDefaults()
	s.limits.Store(&c)
	s.spool.setMaxBytes(c.MaxBytes)
	return nil
}

// Rebind listens on the addresses of c instead, and reads its certificates again. A listener whose address did not change stays open,
// and so do all connections. The error says what is wrong, and then nothing has changed.
func (s *Server) Rebind(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := s.loadTLS(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for transport, addr := range c.addrs() {
		p := s.ports[transport]
		if p.addr == addr {
			continue
		}
		p.addr = addr
		select {
		case p.changed <- struct{}{}:
		default: // an earlier change was not seen yet
		}
	}
	return nil
}

// Addrs returns the addresses bound now, nil for a port that is not.
func (s *Server) Addrs() (udp, tcp net.Addr) { return s.Addr(UDP), s.Addr(TCP) }

// Addr returns the address of transport that is bound now, nil if none is.
func (s *Server) Addr(transport string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports[transport].bound
}
