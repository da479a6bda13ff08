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

	// maxAsked is how many questions are remembered; an answer to an older one
	// is dropped.
	maxAsked = 256
	// questionsPerSecond bounds what observers can make modules do; more are
	// dropped, and their askers see silence.
	questionsPerSecond = 200
)

// gateway puts observers' questions to the modules. It is a member of both
// accounts, and only a question's subject passes through it: not its payload, not
// its headers, and not its reply subject, on which a module would publish whatever
// that subject is. A service import of the server would keep the modules' account
// safe as well, but let one observer have an answer delivered to the others as if
// it were an alert.
type gateway struct {
	inside  *nats.Conn
	outside *nats.Conn
	quota   quota

	mu    sync.Mutex
	count uint64
	asked [maxAsked]asked
}

// asked is a question under way: the token its answers carry, and who asked.
type asked struct {
	token string
	reply string
}

// openGateway connects to both accounts and begins to answer.
func openGateway(p *provider, inside, outside key) (*gateway, error) {
	g := &gateway{quota: quota{limit: questionsPerSecond, now: time.Now}}
	if err := g.connect(p, inside, outside); err != nil {
		g.close()
		return nil, fmt.Errorf("connect the observers' gateway: %w", err)
	}
	return g, nil
}

func (g *gateway) connect(p *provider, inside, outside key) (err error) {
	if g.inside, err = dialAs(p, inside); err != nil {
		return err
	}
	if g.outside, err = dialAs(p, outside); err != nil {
		return err
	}
	if _, err := g.inside.Subscribe(gatewayInbox+".*", g.answer); err != nil {
		return err
	}
	for _, subject := range observerQuestions() {
		if _, err := g.outside.Subscribe(subject, g.ask); err != nil {
			return err
		}
	}
	return errors.Join(g.inside.FlushTimeout(readyTimeout), g.outside.FlushTimeout(readyTimeout))
}

func dialAs(p *provider, k key) (*nats.Conn, error) {
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
	for _, nc := range []*nats.Conn{g.inside, g.outside} {
		if nc != nil {
			nc.Close()
		}
	}
}

func (g *gateway) ask(question *nats.Msg) {
	if !strings.HasPrefix(question.Reply, observerInbox) {
		return
	}
	if ok, _ := g.quota.take(); !ok {
		return
	}
	_ = g.inside.PublishRequest(question.Subject, gatewayInbox+"."+g.remember(question.Reply), nil)
}

func (g *gateway) answer(answer *nats.Msg) {
	reply, ok := g.asker(strings.TrimPrefix(answer.Subject, gatewayInbox+"."))
	if !ok || len(answer.Data) == 0 { // forgotten, or nobody is there to answer
		return
	}
	_ = g.outside.Publish(reply, answer.Data)
}

// remember returns a token for answers to reply.
func (g *gateway) remember(reply string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	token := strconv.FormatUint(g.count, 36)
	g.asked[g.count%maxAsked] = asked{token: token, reply: reply}
	return token
}

func (g *gateway) asker(token string) (reply string, ok bool) {
	n, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return "", false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.asked[n%maxAsked]
	return a.reply, a.token == token
}

// insidePermission lets the gateway ask modules, and read their answers.
func insidePermission() bus.Permission {
	return bus.Permission{Publish: observerQuestions(), Subscribe: []string{gatewayInbox + ".>"}}
}

// outsidePermission lets the gateway hear observers' questions and answer to
// inboxes only, whatever it was asked.
func outsidePermission() bus.Permission {
	return bus.Permission{Publish: []string{observerInbox + ">"}, Subscribe: observerQuestions()}
}
