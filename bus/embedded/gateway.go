package embedded

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/ironpost/ironpost/bus"
)

const (
	// gatewayRole is the name of the gateway's connections, one in each account.
	gatewayRole = "gateway"
	// gatewayInbox is the reply prefix of the requests to modules.
	gatewayInbox = "_INBOX_" + gatewayRole
	// observerInbox is the prefix of the only reply subjects that observers may use.
	observerInbox = "_INBOX."

	// maxPendingRequests is how many requests are remembered; a reply to an older one is
	// dropped.
	maxPendingRequests = 256
	// requestsPerSecond bounds the load that observers can put on modules; more requests
	// are dropped without a reply.
	requestsPerSecond = 200
)

// gateway forwards observers' requests to the modules. It has a connection in both accounts
// and forwards a request's subject alone: not its payload, not its headers, and not its
// reply subject, on which a module would publish whatever that subject is. A service
// import of the server would protect the modules' account as well, but an observer could
// have an answer delivered to the others as if it were an alert. It also has the records copied that observers may see.
type gateway struct {
	app       *nats.Conn
	observers *nats.Conn
	copier    *copier
	limit     rateLimit

	mu      sync.Mutex
	count   uint64
	pending [maxPendingRequests]pendingRequest
}

// pendingRequest is a forwarded request: the token of its replies, and the observer's reply
// subject.
type pendingRequest struct {
	token string
	reply string
}

// openGateway connects to both accounts and starts forwarding and, for the observers of q, copying.
func openGateway(p *inProcessDialer, inside, outside key, q *quota, evidence bool) (*gateway, error) {
	g := &gateway{limit: rateLimit{limit: requestsPerSecond, now: time.Now}}
	err := g.connect(p, inside, outside)
	if err == nil {
		g.copier, err = openCopier(g.app, g.observers, q, evidence)
	}
	if err = errors.Join(err, g.flush()); err != nil {
		g.close()
		return nil, fmt.Errorf("connect the observers' gateway: %w", err)
	}
	return g, nil
}

func (g *gateway) connect(p *inProcessDialer, inside, outside key) (err error) {
	if g.app, err = dialAs(p, inside); err != nil {
		return err
	}
	if g.observers, err = dialAs(p, outside); err != nil {
		return err
	}
	if _, err := g.app.Subscribe(gatewayInbox+".*", g.forwardReply); err != nil {
		return err
	}
	for _, subject := range observerRequests() {
		if _, err := g.observers.Subscribe(subject, g.forwardRequest); err != nil {
			return err
		}
	}
	return nil
}

// flush returns when the server knows the subscriptions.
func (g *gateway) flush() error {
	if g.app == nil || g.observers == nil {
		return nil // connect failed
	}
	return errors.Join(g.app.FlushTimeout(readyTimeout), g.observers.FlushTimeout(readyTimeout))
}

func dialAs(p *inProcessDialer, k key) (*nats.Conn, error) {
	pair, err := nkeys.FromSeed([]byte(k.seed))
	if err != nil {
		return nil, err
	}
	return nats.Connect("",
		nats.InProcessServer(p), nats.Nkey(k.public, pair.Sign), nats.Name(gatewayRole),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // the server's log has it
	)
}

// close ends both connections.
func (g *gateway) close() {
	for _, nc := range []*nats.Conn{g.app, g.observers} {
		if nc != nil {
			nc.Close()
		}
	}
}

func (g *gateway) forwardRequest(request *nats.Msg) {
	if !strings.HasPrefix(request.Reply, observerInbox) {
		return
	}
	if ok, _ := g.limit.allow(); !ok {
		return
	}
	_ = g.app.PublishRequest(request.Subject, gatewayInbox+"."+g.addPending(request.Reply), nil)
}

func (g *gateway) forwardReply(m *nats.Msg) {
	reply, ok := g.replySubject(strings.TrimPrefix(m.Subject, gatewayInbox+"."))
	if !ok || len(m.Data) == 0 { // too old, or the module is not there
		return
	}
	_ = g.observers.Publish(reply, m.Data)
}

// addPending returns a token for replies to the subject reply.
func (g *gateway) addPending(reply string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	token := strconv.FormatUint(g.count, 36)
	g.pending[g.count%maxPendingRequests] = pendingRequest{token: token, reply: reply}
	return token
}

func (g *gateway) replySubject(token string) (reply string, ok bool) {
	n, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return "", false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.pending[n%maxPendingRequests]
	return a.reply, a.token == token
}

// gatewayAppPermission permits requests to modules, their replies, and what is copied.
func gatewayAppPermission() bus.Permission {
	return bus.Permission{Publish: observerRequests(), Subscribe: append(bus.ObserverSubjects(), gatewayInbox+".>")}
}

// gatewayObserverPermission permits receiving observers' requests, copies, and replies to inboxes
// only, whatever reply subject a request names.
func gatewayObserverPermission() bus.Permission {
	return bus.Permission{Publish: append(bus.ObserverSubjects(), observerInbox+">"), Subscribe: observerRequests()}
}
