package embedded

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// maxClients is how many connections a proxy holds at a time. One more is rejected.
	maxClients = 64
	// handshakeTimeout bounds what happens between accept and splice.
	handshakeTimeout = 2 * time.Second
	// acceptPause follows a failed accept, such as one for want of file descriptors.
	acceptPause = 100 * time.Millisecond
)

// handshake is what a proxy does before it splices a connection. accept refuses one by
// returning an error, after it has written the reason to the client; reject writes that
// there are too many.
type handshake struct {
	accept func(net.Conn) error
	reject func(net.Conn)
}

// proxy is a listener whose connections become in-memory connections of the server,
// at most maxClients at a time.
type proxy struct {
	name      string
	listener  net.Listener
	handshake handshake
	dial      func() (net.Conn, error)
	log       logrus.FieldLogger
	logLimit  rateLimit

	tasks  *task.Group
	closed chan struct{}

	mu      sync.Mutex
	clients map[net.Conn]struct{}

	refused atomic.Uint64
}

// newProxy returns a proxy that owns l. Call serve, and close in the end.
func newProxy(name string, l net.Listener, h handshake, dial func() (net.Conn, error), log logrus.FieldLogger) *proxy {
	return &proxy{
		name: name, listener: l, handshake: h, dial: dial, log: log,
		logLimit: rateLimit{limit: linesPerSecond, now: time.Now},
		tasks:    task.New(context.Background()),
		closed:   make(chan struct{}),
		clients:  make(map[net.Conn]struct{}, maxClients),
	}
}

func (p *proxy) serve() {
	p.tasks.Go("accept on bus listener "+p.name, func(context.Context) error { return p.accept() })
}

// close stops listening, closes every connection and waits for their goroutines.
// Closing again only waits. It returns a panic of one of them as an error.
func (p *proxy) close() error {
	err := p.closeAll()
	return errors.Join(err, p.tasks.Wait())
}

func (p *proxy) closeAll() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return nil
	default:
		close(p.closed)
	}
	for c := range p.clients {
		_ = c.Close() // ends its splice
	}
	return p.listener.Close()
}

func (p *proxy) accept() error {
	for {
		c, err := p.listener.Accept()
		switch {
		case err == nil:
			p.start(c)
			continue
		case errors.Is(err, net.ErrClosed):
			return nil
		}
		p.warn("bus listener cannot accept", err)
		pause := time.NewTimer(acceptPause)
		select {
		case <-p.closed:
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// start serves c in a goroutine of its own, or rejects it. The rejection is written in
// the accept loop: its few bytes fit any socket buffer.
func (p *proxy) start(c net.Conn) {
	if !p.register(c) {
		p.refused.Add(1)
		_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
		p.handshake.reject(c)
		_ = c.Close()
		return
	}
	p.tasks.Go("client of bus listener "+p.name, func(ctx context.Context) error {
		defer p.unregister(c)
		p.serveClient(ctx, c)
		return nil
	})
}

// serveClient serves c until either side ends. A panic ends this connection alone.
func (p *proxy) serveClient(ctx context.Context, c net.Conn) {
	err := task.Call(ctx, "client of bus listener "+p.name, func(ctx context.Context) error {
		_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
		if err := p.handshake.accept(c); err != nil {
			p.refused.Add(1)
			p.warn("bus connection refused", err)
			return nil
		}
		_ = c.SetDeadline(time.Time{})
		inside, err := p.dial()
		if err != nil { // no server at the moment
			return nil //nolint:nilerr // the client sees the connection closed and tries again
		}
		return splice(ctx, c, inside)
	})
	if panicked, ok := errors.AsType[*task.PanicError](err); ok {
		p.log.WithError(err).WithField("stack", string(panicked.Stack)).Error("bus listener panicked, connection closed")
	}
}

// register takes a slot for c. It returns false if none is free or the proxy is closed.
func (p *proxy) register(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
	}
	if len(p.clients) >= maxClients {
		return false
	}
	p.clients[c] = struct{}{}
	return true
}

func (p *proxy) unregister(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, c)
}

// warn logs err, at most linesPerSecond times a second: any client could fill the log
// otherwise.
func (p *proxy) warn(message string, err error) {
	ok, suppressed := p.logLimit.allow()
	if !ok {
		return
	}
	p.log.WithError(err).WithFields(logrus.Fields{"listener": p.name, "suppressed": suppressed}).Warn(message)
}

// counts returns how many clients are connected now, and how many were refused.
func (p *proxy) counts() (clients, refused uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint64(len(p.clients)), p.refused.Load()
}
