package embedded

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
)

// maxGuests is how many connections a gate holds at a time. One more is told so
// and closed.
const maxGuests = 64

// greetTimeout bounds what happens between accept and splice.
const greetTimeout = 2 * time.Second

// acceptPause is the pause after a failed accept, such as one for want of file
// descriptors.
const acceptPause = 100 * time.Millisecond

// greeting tells a gate how to treat those who come. admit is called before a
// connection is spliced and refuses it by returning an error, having told the
// peer itself; full tells a peer that there is no room.
type greeting struct {
	admit func(net.Conn) error
	full  func(net.Conn)
}

// gate is a listener whose connections become in-memory connections of the
// server, at most maxGuests at a time.
type gate struct {
	name     string
	listener net.Listener
	greet    greeting
	dial     func() (net.Conn, error)
	log      logrus.FieldLogger
	logQuota quota

	group  errgroup.Group
	closed chan struct{}

	mu     sync.Mutex
	guests map[net.Conn]struct{}

	refused atomic.Uint64
}

// newGate serves l until close. The gate owns l.
func newGate(name string, l net.Listener, g greeting, dial func() (net.Conn, error), log logrus.FieldLogger) *gate {
	return &gate{
		name: name, listener: l, greet: g, dial: dial, log: log,
		logQuota: quota{limit: linesPerSecond, now: time.Now},
		closed:   make(chan struct{}),
		guests:   make(map[net.Conn]struct{}, maxGuests),
	}
}

func (g *gate) serve() {
	g.group.Go(g.accept)
}

// close stops listening, ends every connection and waits for all of it. Closing
// again only waits.
func (g *gate) close() error {
	err := g.shut()
	_ = g.group.Wait() // a guest's error was counted or logged where it happened
	return err
}

func (g *gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.closed:
		return nil
	default:
		close(g.closed)
	}
	for c := range g.guests {
		_ = c.Close() // ends its splice
	}
	return g.listener.Close()
}

func (g *gate) accept() error {
	for {
		c, err := g.listener.Accept()
		if err != nil {
			if g.stopping(err) {
				return nil
			}
			g.warn("bus listener cannot accept", err)
			continue
		}
		g.receive(c)
	}
}

// stopping reports whether the accept loop ends, after a pause if it does not.
func (g *gate) stopping(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	pause := time.NewTimer(acceptPause)
	defer pause.Stop()
	select {
	case <-g.closed:
		return true
	case <-pause.C:
		return false
	}
}

// receive starts serving c if there is room for it. Those refused at the door
// are told without waiting, in the accept loop: the few bytes fit any socket
// buffer.
func (g *gate) receive(c net.Conn) {
	if !g.enter(c) {
		g.refused.Add(1)
		_ = c.SetDeadline(time.Now().Add(greetTimeout))
		g.greet.full(c)
		_ = c.Close()
		return
	}
	g.group.Go(func() error {
		defer g.leave(c)
		g.host(c)
		return nil
	})
}

func (g *gate) host(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(greetTimeout))
	if err := g.greet.admit(c); err != nil {
		g.refused.Add(1)
		g.warn("bus connection refused", err)
		return
	}
	_ = c.SetDeadline(time.Time{})
	inside, err := g.dial()
	if err != nil {
		return
	}
	splice(c, inside)
}

// enter takes a slot for c, false if none is free or the gate is closing.
func (g *gate) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.closed:
		return false
	default:
	}
	if len(g.guests) >= maxGuests {
		return false
	}
	g.guests[c] = struct{}{}
	return true
}

func (g *gate) leave(c net.Conn) {
	_ = c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.guests, c)
}

// warn logs err, at most linesPerSecond times a second: anyone who may knock
// could otherwise fill the log.
func (g *gate) warn(message string, err error) {
	ok, suppressed := g.logQuota.take()
	if !ok {
		return
	}
	g.log.WithError(err).WithFields(logrus.Fields{"listener": g.name, "suppressed": suppressed}).Warn(message)
}

// counts returns how many are connected now, and how many were refused.
func (g *gate) counts() (guests, refused uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return uint64(len(g.guests)), g.refused.Load()
}
