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
	// gatewayRole is the gateway's key; it has one in each of two accounts.
	gatewayRole = "gateway"
	// gatewayInbox is where modules answer the gateway.
	gatewayInbox = "_INBOX_" + gatewayRole
	// observerInbox begins the only subjects to which observers are answered.
	observerInbox = "_INBOX."

	// maxPendingRequests is how many questions are remembered; an answer to an older one
	// is dropped.
	maxPendingRequests = 256
	// requestsPerSecond bounds what observers can make modules do; more are
	// dropped, and their askers see silence.
	requestsPerSecond = 200
)

// gateway puts observers' questions to the modules. It is a member of both
// accounts, and only a question's subject passes through it: not its payload, not
// its headers, and not its reply subject, on which a module would publish whatever
// that subject is. A service import of the server would keep the modules' account
// safe as well, but let one observer have an answer delivered to the others as if
// it were an alert.
type gateway struct {
	app       *nats.Conn
	observers *nats.Conn
	limit     rateLimit

	mu      sync.Mutex
	count   uint64
	pending [maxPendingRequests]pendingRequest
}

// pendingRequest is a question under way: the token its answers carry, and who asked.
type pendingRequest struct {
	token string
	reply string
}

// openGateway connects to both accounts and begins to answer.
func openGateway(p *inProcessDialer, inside, outside key) (*gateway, error) {
	g := &gateway{limit: rateLimit{limit: requestsPerSecond, now: time.Now}}
	if err := g.connect(p, inside, outside); err != nil {
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

func (g *gateway) forwardRequest(question *nats.Msg) {
	if !strings.HasPrefix(question.Reply, observerInbox) {
		return
	}
	if ok, _ := g.limit.allow(); !ok {
		return
	}
	_ = g.app.PublishRequest(question.Subject, gatewayInbox+"."+g.addPending(question.Reply), nil)
}

func (g *gateway) forwardReply(answer *nats.Msg) {
	reply, ok := g.replySubject(strings.TrimPrefix(answer.Subject, gatewayInbox+"."))
	if !ok || len(answer.Data) == 0 { // forgotten, or nobody is there to answer
		return
	}
	_ = g.observers.Publish(reply, answer.Data)
}

// addPending returns a token for answers to reply.
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

// gatewayAppPermission lets the gateway ask modules, and read their answers.
func gatewayAppPermission() bus.Permission {
	return bus.Permission{Publish: observerRequests(), Subscribe: []string{gatewayInbox + ".>"}}
}

// gatewayObserverPermission lets the gateway hear observers' questions and answer to
// inboxes only, whatever it was asked.
func gatewayObserverPermission() bus.Permission {
	return bus.Permission{Publish: []string{observerInbox + ">"}, Subscribe: observerRequests()}
}
