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

// How long pull requests last. An idle consumer makes one request per pullExpiry. A
// request whose end was not received pullGrace after it was due is made again.
const (
	pullExpiry      = 5 * time.Second
	drainPullExpiry = 100 * time.Millisecond
	pullGrace       = time.Second
	cancelTimeout   = 2 * time.Second // for what was delivered before a request was cancelled
)

// bytesReached describes the end of a request whose bytes the next message does not fit in.
const bytesReached = "Message Size Exceeds MaxBytes"

// pullSub makes pull requests for a durable, one at a time (ADR-13 of the NATS
// architecture): the next when the one before has ended. jetstream's Messages was
// measured instead: it requests up to half a batch ahead of the handler, delivers
// again 2 s after a reconnect where this takes one round trip, and needs a heartbeat
// every second on an idle bus; its Fetch cannot be stopped without losing what is on
// its way until ackWait has passed.
type pullSub struct {
	c       *Conn
	link    *link
	subject string // of the requests
	inbox   string // prefix of the reply subjects, one per request
	sub     *nats.Subscription
	arrived chan *nats.Msg // closed when sub has ended and all of it was read
	unread  chan struct{}  // closed when arrived is not read any more

	request   int       // number of the newest request
	left      int       // deliveries it may still bring, 0 when it has ended
	due       time.Time // when it ends at the latest, unless its answer was lost
	failure   error     // why it ended early
	timer     *time.Timer
	cancelled bool
}

// pullRequest is the body of a request.
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	Expires  time.Duration `json:"expires"`
}

var (
	errReconnected = errors.New("connection was replaced")
	errPullLost    = errors.New("pull request was not answered")
)

// subscribePull returns a pullSub for d that buffers as many deliveries as it is
// asked to request at a time.
func (c *Conn) subscribePull(d Durable, buffer int) (*pullSub, error) {
	p := &pullSub{
		c: c, link: c.link.Load(), inbox: c.nc.NewInbox(),
		subject: fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.%s", d.Stream, d.Name),
		arrived: make(chan *nats.Msg, buffer), unread: make(chan struct{}), timer: time.NewTimer(time.Hour),
	}
	sub, err := c.nc.Subscribe(p.inbox+".*", func(m *nats.Msg) {
		select {
		case p.arrived <- m:
		case <-p.unread:
			nakDelivery(m)
		}
	})
	if err != nil {
		return nil, err
	}
	sub.SetClosedHandler(func(string) { close(p.arrived) }) // called after the last message
	p.sub = sub
	return p, nil
}

// ask requests at most n deliveries of at most size bytes together, 0 for any, within expires.
func (p *pullSub) ask(n, size int, expires time.Duration) error {
	body, err := json.Marshal(pullRequest{Batch: n, MaxBytes: size, Expires: expires})
	if err != nil {
		return err
	}
	p.request++
	p.left, p.due = n, time.Now().Add(expires+pullGrace)
	return p.c.nc.PublishRequest(p.subject, p.reply(), body)
}

// reply is the reply subject of the newest request.
func (p *pullSub) reply() string { return p.inbox + "." + strconv.Itoa(p.request) }

// next returns the next delivery, or nil when the request has ended. When stop is
// closed it cancels the request and returns what was delivered until then.
func (p *pullSub) next(stop <-chan struct{}) (*nats.Msg, error) {
	for p.left > 0 {
		p.timer.Reset(max(time.Until(p.due), pullGrace)) // the handler may have taken long
		select {
		case m, open := <-p.arrived:
			if !open {
				p.left = 0
			} else if p.isDelivery(m) {
				return m, nil
			}
		case <-stop:
			p.cancel()
			stop = nil
		case <-p.link.ctx.Done():
			return nil, errReconnected
		case <-p.timer.C:
			p.left = 0
			return nil, errPullLost
		}
	}
	return nil, p.failure
}

// buffered returns a delivery that has arrived already, or nil.
func (p *pullSub) buffered() *nats.Msg {
	for p.left > 0 {
		select {
		case m, open := <-p.arrived:
			if !open {
				p.left = 0
			} else if p.isDelivery(m) {
				return m
			}
		default:
			return nil
		}
	}
	return nil
}

// isDelivery counts a delivery, and notes the end of the request.
func (p *pullSub) isDelivery(m *nats.Msg) bool {
	if canAck(m) {
		p.left--
		return true
	}
	if m.Subject != p.reply() {
		return false // the end of a request that was given up
	}
	switch status, why := m.Header.Get("Status"), m.Header.Get("Description"); {
	case status == "": // not sent by JetStream
	case status == statusNothing, status == statusExpired, why == bytesReached:
		p.left = 0
	default:
		p.left = 0
		p.failure = fmt.Errorf("pull request ended: status %s %s", status, why)
	}
	return false
}

// cancel ends the request. The server drops a request without a subscriber and
// redelivers at once what it could not hand over; what it had sent before still
// arrives, and then p.arrived is closed.
func (p *pullSub) cancel() {
	if p.cancelled {
		return
	}
	p.cancelled = true
	if !p.c.Connected() || p.sub.Drain() != nil {
		_ = p.sub.Unsubscribe() // fails if the connection is closed, which closes the subscription, too
	}
	p.due = time.Now().Add(cancelTimeout)
}

// close cancels the request and naks what was delivered and not taken by next, as
// after a handler's panic: it is redelivered at once and not after ackWait.
func (p *pullSub) close() {
	p.cancel()
	defer p.timer.Stop()
	p.timer.Reset(cancelTimeout)
	for {
		select {
		case m, open := <-p.arrived:
			if !open {
				return
			}
			nakDelivery(m)
		case <-p.timer.C:
			close(p.unread)
			return
		}
	}
}

func canAck(m *nats.Msg) bool { return strings.HasPrefix(m.Reply, "$JS.ACK.") }

func nakDelivery(m *nats.Msg) {
	if canAck(m) {
		_ = m.Nak() // fails without a connection: then it is redelivered after ackWait
	}
}

// awaitLink waits, if there is no connection, for the next one, until stop is closed.
func (c *Conn) awaitLink(l *link, stop <-chan struct{}) error {
	if c.Connected() {
		return nil
	}
	select {
	case <-l.ctx.Done():
		return errReconnected
	case <-c.closed:
		return c.closeReason()
	case <-stop:
		return nil
	}
}
