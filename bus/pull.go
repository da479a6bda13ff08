package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// pull asks for the deliveries of a durable, one request after the other: the next when
// all of the one before was handled, so that none waits behind a handler that takes
// long, and a session ends between two. What the server sends to a request whose
// asker has gone would come again after ackWait only. (The library's ways ask ahead,
// and one of them drops what does not fit its buffer.)
type pull struct {
	c       *Conn
	link    *link
	subject string // of requests
	inbox   string
	sub     *nats.Subscription
	arrived chan *nats.Msg
	over    chan struct{} // closed with the session

	asked   int       // requests
	left    int       // what the newest may still deliver; 0 when it has ended
	until   time.Time // when it has ended, unless something is wrong
	failure error     // why it ended
	late    *time.Timer
}

// pullRequest is the server's, see ADR-13 of the NATS architecture.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires"`
}

var (
	errReconnected = errors.New("connected anew")
	errUnanswered  = errors.New("a request for deliveries was not answered")
)

func (w *worker) open() (*pull, error) {
	p := &pull{
		c: w.c, link: w.c.link.Load(), inbox: w.c.nc.NewInbox(),
		subject: fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.%s", w.d.Stream, w.d.Name),
		arrived: make(chan *nats.Msg), over: make(chan struct{}), late: time.NewTimer(time.Hour),
	}
	var err error
	p.sub, err = w.c.nc.Subscribe(p.inbox+".*", func(m *nats.Msg) {
		select {
		case p.arrived <- m:
		case <-p.over:
			giveBack(m)
		}
	})
	return p, err
}

// ask requests at most n deliveries, those of the time to come included.
func (p *pull) ask(n int, expires time.Duration) error {
	body, err := json.Marshal(pullRequest{Batch: n, Expires: expires})
	if err != nil {
		return err
	}
	p.asked++
	p.left, p.until = n, time.Now().Add(expires+answerGrace)
	return p.c.nc.PublishRequest(p.subject, p.request(), body)
}

// request is where the answers to the newest request go.
func (p *pull) request() string { return p.inbox + "." + strconv.Itoa(p.asked) }

// next returns the next delivery, or nil when the request has ended.
func (p *pull) next() (*nats.Msg, error) {
	for p.left > 0 {
		p.late.Reset(max(time.Until(p.until), answerGrace)) // a handler may have taken long
		select {
		case m := <-p.arrived:
			if p.delivered(m) {
				return m, nil
			}
		case <-p.link.ctx.Done():
			return nil, errReconnected
		case <-p.late.C:
			p.left = 0
			return nil, errUnanswered
		}
	}
	return nil, p.failure
}

// soon returns a delivery that is there already, or nil.
func (p *pull) soon() *nats.Msg {
	for p.left > 0 {
		p.late.Reset(gatherLook)
		select {
		case m := <-p.arrived:
			if p.delivered(m) {
				return m
			}
		case <-p.late.C:
			return nil
		}
	}
	return nil
}

// delivered tells a delivery, which can be acknowledged, from a status.
func (p *pull) delivered(m *nats.Msg) bool {
	if isDelivery(m) {
		p.left--
		return true
	}
	if m.Subject != p.request() {
		return false // a status of one given up
	}
	switch status := m.Header.Get("Status"); status {
	case "": // of nobody we asked
	case statusNothing, statusExpired:
		p.left = 0
	default:
		p.left = 0
		p.failure = fmt.Errorf("the server delivers no more: %s %s", status, m.Header.Get("Description"))
	}
	return false
}

func isDelivery(m *nats.Msg) bool { return strings.HasPrefix(m.Reply, "$JS.ACK.") }

// reconnected waits, while there is no server, until there is one again.
func (p *pull) reconnected(done <-chan struct{}) error {
	if p.c.Connected() {
		return nil
	}
	select {
	case <-p.link.ctx.Done():
		return errReconnected
	case <-p.c.closed:
		return p.c.closeReason()
	case <-done:
		return nil
	}
}

// close ends the session, also one whose handler panicked: what had arrived and was not
// handled comes again at once, to whoever consumes then, and not after ackWait.
func (p *pull) close() {
	p.returnRest()
	close(p.over)
	p.late.Stop()
	_ = p.sub.Unsubscribe() // gone with the connection at the latest
}

// returnRest waits, for a bounded time, until the request has ended.
func (p *pull) returnRest() {
	late := time.NewTimer(pullExpiry + answerGrace)
	defer late.Stop()
	for p.left > 0 && p.c.Connected() {
		select {
		case m := <-p.arrived:
			if p.delivered(m) {
				giveBack(m)
			}
		case <-p.link.ctx.Done():
			return
		case <-late.C:
			return
		}
	}
}

func giveBack(m *nats.Msg) {
	if isDelivery(m) {
		_ = m.Nak() // fails without a server only, and then comes again later
	}
}
