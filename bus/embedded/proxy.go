package embedded

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// maxClients is how many connections a local listener holds at a time. One more is rejected.
	maxClients = 64
	// handshakeTimeout bounds what happens between accept and splice.
	handshakeTimeout = 2 * time.Second
	// acceptPause follows a failed accept, such as one for want of file descriptors.
	acceptPause = 100 * time.Millisecond
)

// localLimits are those of the socket and the observers' port.
var localLimits = limits{total: maxClients, pending: maxClients, fromSource: maxClients, perKey: maxClients}

// handshake is what a proxy does before it splices a connection. accept refuses one by
// returning an error, after it has written the reason to the client; sendInfo sends the
// server's INFO and returns the connection to go on with; reject writes that there are too many.
type handshake struct {
	accept   func(net.Conn) (session, error)
	sendInfo func(context.Context, net.Conn, server.Info) (net.Conn, error)
	reject   func(net.Conn)

	perSecond int // connections, more wait until they are accepted; 0: any number
}

// session is one accepted connection. admit decides by the key that its client shows. end, if it is not nil, is called when the
// connection has ended, with the reason why it was refused, or nil.
type session struct {
	admit admission
	end   func(refused error)
}

// proxy is a listener whose connections become connections of the server, within
// limits. What their clients send is checked on the way, see protocolParser.
type proxy struct {
	name      string
	listener  net.Listener
	handshake handshake
	dial      func() (net.Conn, error)
	log       logrus.FieldLogger
	logLimit  rateLimit
	pace      *rateLimit // of new connections; nil for none

	tasks  *task.Group
	closed chan struct{}
	slots  *slots

	refused atomic.Uint64
}

// newProxy returns a proxy that owns l. Call serve, and close in the end.
func newProxy(name string, l net.Listener, h handshake, limits limits, dial func() (net.Conn, error), log logrus.FieldLogger) *proxy {
	p := &proxy{
		name: name, listener: l, handshake: h, dial: dial, log: log,
		logLimit: rateLimit{limit: linesPerSecond, now: time.Now},
		tasks:    task.New(context.Background()),
		closed:   make(chan struct{}),
		slots:    newSlots(limits),
	}
	if h.perSecond > 0 {
		p.pace = &rateLimit{limit: h.perSecond, now: time.Now}
	}
	return p
}

func (p *proxy) serve() {
	p.tasks.Go("accept on bus listener "+p.name, func(context.Context) error { return p.accept() })
}

// close stops listening, closes every connection and waits for their goroutines.
// Closing again only waits. It returns a panic of one of them as an error.
func (p *proxy) close() error {
	var err error
	if p.slots.close() {
		close(p.closed)
		err = p.listener.Close()
	}
	return errors.Join(err, p.tasks.Wait())
}

func (p *proxy) accept() error {
	for {
		c, err := p.listener.Accept()
		switch {
		case err == nil && p.awaitPace():
			p.start(c)
			continue
		case err == nil:
			return c.Close()
		case errors.Is(err, net.ErrClosed):
			return nil
		}
		p.warn("bus listener cannot accept", nil, err)
		if !p.rest() {
			return nil
		}
	}
}

// awaitPace waits until one more connection may be served, and returns false if p closes before.
func (p *proxy) awaitPace() bool {
	for p.pace != nil {
		if ok, _ := p.pace.allow(); ok {
			return true
		}
		if !p.rest() {
			return false
		}
	}
	return true
}

// rest waits for acceptPause, and returns false if p closes before.
func (p *proxy) rest() bool {
	pause := time.NewTimer(acceptPause)
	defer pause.Stop()
	select {
	case <-p.closed:
		return false
	case <-pause.C:
		return true
	}
}

// start serves c in a goroutine of its own, or rejects it. The rejection is written in
// the accept loop: its few bytes fit any socket buffer.
func (p *proxy) start(c net.Conn) {
	if !p.slots.take(c) {
		p.refused.Add(1)
		_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
		p.handshake.reject(c)
		_ = c.Close()
		return
	}
	p.tasks.Go("client of bus listener "+p.name, func(ctx context.Context) error {
		defer p.slots.release(c)
		defer func() { _ = c.Close() }()
		p.serveClient(ctx, c)
		return nil
	})
}

// serveClient serves c until either side ends. A panic ends this connection alone.
func (p *proxy) serveClient(ctx context.Context, c net.Conn) {
	err := task.Call(ctx, "client of bus listener "+p.name, func(ctx context.Context) error { return p.connect(ctx, c) })
	if panicked, ok := errors.AsType[*task.PanicError](err); ok {
		p.log.WithError(err).WithField("stack", string(panicked.Stack)).Error("bus listener panicked, connection closed")
		return
	}
	if err != nil {
		p.refused.Add(1)
		p.warn("bus connection refused", c, err)
	}
}

// connect sends c the server's INFO and splices it with the server. It returns why c was refused.
func (p *proxy) connect(ctx context.Context, c net.Conn) (err error) {
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
	client, err := p.handshake.accept(c)
	if err != nil {
		return err
	}
	if client.end != nil {
		defer func() { client.end(err) }()
	}
	return p.splice(ctx, c, client.admit)
}

// splice is connect for a client that was accepted.
func (p *proxy) splice(ctx context.Context, c net.Conn, admit admission) error {
	inside, err := p.dial() // without a server the client sees the connection closed and tries again
	if errors.Is(err, errNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = inside.Close() }()
	info, err := readInfo(inside)
	if err != nil {
		return nil //nolint:nilerr // the server stops
	}
	client, err := p.handshake.sendInfo(ctx, c, info)
	if err != nil {
		return err
	}
	_ = c.SetDeadline(time.Time{})
	return splice(ctx, client, inside, func(line []byte) ([]byte, rights, error) {
		return p.admit(c, admit, certificateEnd(client), info.Nonce, line)
	})
}

// certificateEnd returns when the certificate that client has shown ends; zero without one.
func certificateEnd(client net.Conn) time.Time {
	secure, ok := client.(*tls.Conn)
	if !ok {
		return time.Time{}
	}
	if shown := secure.ConnectionState().PeerCertificates; len(shown) > 0 {
		return shown[0].NotAfter
	}
	return time.Time{}
}

// admit decides with admit on the line with which the client of c begins, whose certificate ends at a time. It returns the line for the server, and the rights of the key.
func (p *proxy) admit(c net.Conn, admit admission, certificateEnds time.Time, nonce string, line []byte) (connect []byte, r rights, err error) {
	o, err := readConnect(line)
	if err != nil {
		return nil, r, err
	}
	if r, err = admit(nonce, &o); err != nil {
		return nil, r, err
	}
	if err := p.slots.admit(c, o.Nkey, certificateEnds); err != nil {
		return nil, r, err
	}
	connect, err = connectLine(o)
	return connect, r, err
}

// readInfo reads the line with which the server begins.
func readInfo(inside net.Conn) (server.Info, error) {
	var info server.Info
	_ = inside.SetReadDeadline(time.Now().Add(handshakeTimeout))
	buf := make([]byte, maxControlLine)
	held, n, err := readLine(inside, buf)
	if err != nil {
		return info, err
	}
	text, ok := bytes.CutPrefix(buf[:n], []byte("INFO "))
	if !ok || held != n {
		return info, errors.New("the bus server does not begin with INFO")
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, fmt.Errorf("INFO of the bus server: %w", err)
	}
	return info, inside.SetReadDeadline(time.Time{})
}

// writeInfo sends info to a client.
func writeInfo(c net.Conn, info server.Info) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "INFO %s\r\n", text)
	return err
}

// sendInfoInClear sends info, and goes on without encryption.
func sendInfoInClear(_ context.Context, c net.Conn, info server.Info) (net.Conn, error) {
	_ = writeInfo(c, info) // a client that has left ends its splice
	return c, nil
}

// warn logs err about the client of c, if any, at most linesPerSecond times a second: any client could fill the log
// otherwise.
func (p *proxy) warn(message string, c net.Conn, err error) {
	ok, suppressed := p.logLimit.allow()
	if !ok {
		return
	}
	fields := logrus.Fields{"listener": p.name, "suppressed": suppressed}
	if c != nil {
		fields["peer"] = c.RemoteAddr().String()
	}
	p.log.WithError(err).WithFields(fields).Warn(message)
}

// counts returns how many clients are connected now, and how many were refused.
func (p *proxy) counts() (clients, refused uint64) {
	return uint64(p.slots.count()), p.refused.Load()
}
