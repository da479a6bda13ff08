package metrics

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/health"
)

// maxConnections is how many connections are open at a time.
const maxConnections = 512

// connections bounds how many connections are open. It never makes a new one wait: it closes the slowest, so that
// connections that send or read nothing do not keep others out. Slow is, in this order, one that has not sent a
// complete request, and one whose request is being answered; of those the one that has been so for the longest.
type connections struct {
	net.Listener

	mu        sync.Mutex
	waiting   *list.List // net.Conn without a complete request, those that have been so for the longest first
	answering *list.List
	places    map[net.Conn]place

	closed health.Losses
}

// place is where a connection is.
type place struct {
	in *list.List
	at *list.Element
}

func limit(l net.Listener) *connections {
	return &connections{Listener: l, waiting: list.New(), answering: list.New(), places: map[net.Conn]place{}}
}

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if slowest := c.add(conn); slowest != nil {
		_ = slowest.Close() // its goroutine notices and ends
		c.closed.Add("too many are open", addressOf(slowest), 1, time.Now())
	}
	return conn, nil
}

// add adds conn, and returns another one to close if there are too many.
func (c *connections) add(conn net.Conn) (slowest net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.places) >= maxConnections {
		from := c.waiting
		if from.Len() == 0 {
			from = c.answering
		}
		slowest = from.Front().Value.(net.Conn) //nolint:forcetypeassert // move fills it
		c.remove(slowest)
	}
	c.move(conn, c.waiting)
	return slowest
}

// stateChanged is for http.Server.ConnState. A connection becomes active when its request is complete.
func (c *connections) stateChanged(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.places[conn]; !open {
		return
	}
	switch state {
	case http.StateNew: // added by Accept
	case http.StateActive:
		c.move(conn, c.answering)
	case http.StateIdle:
		c.move(conn, c.waiting)
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	}
}

// move puts conn at the end of a list. c.mu is held.
func (c *connections) move(conn net.Conn, to *list.List) {
	c.remove(conn)
	c.places[conn] = place{to, to.PushBack(conn)}
}

// remove forgets conn. c.mu is held.
func (c *connections) remove(conn net.Conn) {
	if p, open := c.places[conn]; open {
		p.in.Remove(p.at)
		delete(c.places, conn)
	}
}

// addressOf returns the peer's address without its port.
func addressOf(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
}
