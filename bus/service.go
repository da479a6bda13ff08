package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/ironpost/ironpost/event"
)

// Verb answers one request; its result is sent as JSON, its error as words. A verb
// that may wait must heed ctx, which ends when the service stops.
type Verb func(ctx context.Context, request []byte) (any, error)

// ServiceConfig describes a module as a NATS micro service. Verbs are answered on
// StatusSubject(Module, Host, verb).
type ServiceConfig struct {
	Module  string
	Host    string
	Version string
	Verbs   map[string]Verb
}

// maxRequest bounds the body of a request.
const maxRequest = 64 << 10

// serviceReplies is where the server collects answers for another account.
const serviceReplies = "_R_."

// metaHost and metaVersion are keys of a service's metadata.
const (
	metaHost    = "host"
	metaVersion = "version"
)

// notServed is the code of an answer for a verb that nobody serves any more.
const notServed = "503"

// served is the one micro service of a module on a connection, and who answers its verbs now.
type served struct {
	service micro.Service

	mu    sync.Mutex // guards what follows
	users int
	verbs map[string]*answerer // nil: an endpoint that nobody serves now
}

// answerer answers one verb until its ctx ends.
type answerer struct {
	ctx  context.Context //nolint:containedctx // of whoever called Serve, for each request
	verb Verb
}

// Serve answers requests until stop is called or the connection is closed. Each
// verb is answered one request at a time. Verbs may be served by several callers: on one
// connection a module is one micro service, with the version of the first caller. A
// verb that is served already is an error.
func (c *Conn) Serve(ctx context.Context, s ServiceConfig) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	service, err := c.joined(s)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("serve %s: %w", s.Module, err)
	}
	mine := map[string]*answerer{}
	stop = sync.OnceFunc(func() {
		cancel()
		c.leave(s, service, mine)
		if c.Connected() { // else nobody hears it, and waiting for a server would only hold up a stop
			_ = c.nc.FlushTimeout(callTimeout)
		}
	})
	for _, name := range verbNames(s.Verbs) {
		a := &answerer{ctx: ctx, verb: s.Verbs[name]}
		if err := c.add(service, VerbSubject(s.Module, s.Host, name), name, a); err != nil {
			stop()
			return nil, fmt.Errorf("serve %s: verb %s: %w", s.Module, name, err)
		}
		mine[name] = a
	}
	return stop, c.nc.FlushTimeout(callTimeout)
}

// joined returns the service of a module, made if it is the first call for it.
func (c *Conn) joined(s ServiceConfig) (*served, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := s.Module + " " + s.Host
	if have := c.services[key]; have != nil {
		have.mu.Lock()
		defer have.mu.Unlock()
		have.users++
		return have, nil
	}
	service, err := micro.AddService(c.nc, micro.Config{
		Name:     ServiceName(s.Module),
		Version:  semver(s.Version),
		Metadata: map[string]string{metaHost: s.Host, metaVersion: s.Version},
	})
	if err != nil {
		return nil, err
	}
	made := &served{service: service, users: 1, verbs: map[string]*answerer{}}
	if c.services == nil {
		c.services = map[string]*served{}
	}
	c.services[key] = made
	return made, nil
}

// add has a answer a verb. A micro service cannot give up an endpoint, so that one that was served before is there.
func (c *Conn) add(s *served, subject, name string, a *answerer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, known := s.verbs[name]
	if now != nil {
		return errors.New("is served already")
	}
	if !known {
		handler := micro.HandlerFunc(func(r micro.Request) { c.pass(s, name, r) })
		if err := s.service.AddEndpoint(name, handler, micro.WithEndpointSubject(subject)); err != nil {
			return err
		}
	}
	s.verbs[name] = a
	return nil
}

// leave takes back the verbs of one caller, and the service after the last.
func (c *Conn) leave(cfg ServiceConfig, s *served, mine map[string]*answerer) {
	c.mu.Lock()
	s.mu.Lock()
	for name, a := range mine {
		if s.verbs[name] == a {
			s.verbs[name] = nil
		}
	}
	s.users--
	last := s.users == 0
	s.mu.Unlock()
	if last {
		delete(c.services, cfg.Module+" "+cfg.Host)
	}
	c.mu.Unlock()
	if last {
		_ = s.service.Stop() // fails only on a closed connection, where nothing is served
	}
}

// pass hands a request to who answers the verb now.
func (c *Conn) pass(s *served, name string, r micro.Request) {
	s.mu.Lock()
	a := s.verbs[name]
	s.mu.Unlock()
	if a == nil {
		c.reply(r.Error(notServed, "not served now", nil))
		return
	}
	c.answer(a.ctx, a.verb, r)
}

func verbNames(verbs map[string]Verb) []string {
	names := make([]string, 0, len(verbs))
	for name := range verbs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// answer runs verb. It is called on the connection's goroutine, which nobody else
// guards: a panic becomes an answer and a line in the log.
func (c *Conn) answer(ctx context.Context, verb Verb, r micro.Request) {
	defer func() {
		if v := recover(); v != nil {
			c.log.WithField("panic", fmt.Sprint(v)).WithField("stack", string(debug.Stack())).Error("verb panicked")
			c.reply(r.Error("500", "internal error", nil))
		}
	}()
	if !asked(r.Reply()) {
		c.log.WithField("subject", r.Subject()).WithField("reply", event.PrintableASCII(r.Reply(), maxHeader)).Error("request that nobody asked dropped")
		return
	}
	if len(r.Data()) > maxRequest {
		c.reply(r.Error("413", "request too large", nil))
		return
	}
	result, err := verb(ctx, r.Data())
	if err != nil {
		c.reply(r.Error("400", event.PrintableASCII(err.Error(), maxHeader), nil))
		return
	}
	data, err := json.Marshal(result)
	if err == nil {
		err = r.Respond(event.PrintableJSON(data))
	}
	c.reply(err)
}

// asked tells a request of somebody who may make one, and waits in an inbox, from a message
// that the server was made to deliver to the verb's subject: a read stream or the next of a durable
// may be asked for with any reply subject. Such a copy has no reply subject itself, or
// that of an acknowledgement.
func asked(reply string) bool {
	return strings.HasPrefix(reply, inboxRoot) || strings.HasPrefix(reply, serviceReplies)
}

// reply logs what could not be answered; who asked has a timeout.
func (c *Conn) reply(err error) {
	if err != nil {
		c.log.WithError(err).Warn("request not answered")
	}
}

// semver returns the leading x.y.z of version, or 0.0.0.
func semver(version string) string {
	v := strings.TrimPrefix(version, "v")
	var x, y, z int
	if n, err := fmt.Sscanf(v, "%d.%d.%d", &x, &y, &z); n != 3 || err != nil || x < 0 || y < 0 || z < 0 {
		return "0.0.0"
	}
	return fmt.Sprintf("%d.%d.%d", x, y, z)
}

// ServiceStatus is one service that answered Discover.
type ServiceStatus struct {
	Module  string
	Host    string
	Version string
}

// Discover asks who serves, and returns what answered within wait, sorted by host
// and module.
func (c *Conn) Discover(ctx context.Context, wait time.Duration) ([]ServiceStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", c.explain(err))
	}
	defer func() { _ = sub.Unsubscribe() }() // gone with the connection at the latest
	if err := c.nc.PublishRequest("$SRV.PING", inbox, nil); err != nil {
		return nil, fmt.Errorf("discover: %w", c.explain(err))
	}
	return discovered(ctx, sub), nil
}

// maxServices bounds how many answers Discover keeps.
const maxServices = 4096

func discovered(ctx context.Context, sub *nats.Subscription) []ServiceStatus {
	var found []ServiceStatus
	for len(found) < maxServices {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break
		}
		var ping micro.Ping
		if json.Unmarshal(m.Data, &ping) != nil {
			continue // not an answer of a service
		}
		if module, ours := strings.CutPrefix(ping.Name, "ironpost-"); ours {
			found = append(found, ServiceStatus{Module: module, Host: ping.Metadata[metaHost], Version: ping.Metadata[metaVersion]})
		}
	}
	slices.SortFunc(found, func(a, b ServiceStatus) int {
		return cmp.Or(strings.Compare(a.Host+" "+a.Module, b.Host+" "+b.Module), strings.Compare(b.Version, a.Version))
	})
	return slices.CompactFunc(found, func(a, b ServiceStatus) bool { // one module may be served on two connections
		return a.Host == b.Host && a.Module == b.Module
	})
}
