package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/ironpost/ironpost/event"
)

// Verb answers one request. Its result is sent as JSON, its error as text. A verb that
// may wait must watch ctx, which ends when the service stops.
type Verb func(ctx context.Context, request []byte) (any, error)

// ServiceConfig describes a module as a NATS micro service. Verbs are answered on
// VerbSubject(Module, Host, verb), Acts on ActSubject.
type ServiceConfig struct {
	Module  string
	Host    string
	Version string
	Verbs   map[string]Verb
	Acts    map[string]Act
}

// maxRequest bounds the body of a request.
const maxRequest = 64 << 10

// serviceReplies starts the reply subjects of requests from another account.
const serviceReplies = "_R_."

// metaHost and metaVersion are keys of a service's metadata.
const (
	metaHost    = "host"
	metaVersion = "version"
)

// codeNotServed is the error code of an answer for a verb that has no handler now.
const codeNotServed = "503"

// moduleService is the one micro service of a module on a connection. It is guarded by
// Conn.mu.
type moduleService struct {
	micro    micro.Service
	users    int                     // calls of Serve that have not been stopped
	handlers map[string]*verbHandler // by verb; nil for an endpoint without handler
}

// verbHandler answers one verb until its ctx ends.
type verbHandler struct {
	ctx  context.Context //nolint:containedctx // of the call of Serve, for each request
	verb Verb
	act  Act // instead of verb
}

// anyOperator ends the names of acts among handlers. Names of verbs have no dot.
const anyOperator = ".*"

// Serve answers requests until stop is called or the connection is closed. Each verb
// is answered one request at a time. Serve may be called several times for a module: on
// one connection it is one micro service, with the version of the first call. A verb
// that is served already is an error.
func (c *Conn) Serve(ctx context.Context, s ServiceConfig) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	handlers := make(map[string]*verbHandler, len(s.Verbs))
	for name, verb := range s.Verbs {
		handlers[name] = &verbHandler{ctx: ctx, verb: verb}
	}
	for name, act := range s.Acts {
		handlers[name] = &verbHandler{ctx: ctx, verb: func(context.Context, []byte) (any, error) { return nil, errOlderClient }}
		handlers[name+anyOperator] = &verbHandler{ctx: ctx, act: act}
	}
	service, err := c.addVerbs(s, handlers)
	remove := func() {
		cancel()
		c.removeVerbs(s, service, handlers)
	}
	if err == nil {
		err = c.nc.FlushTimeout(callTimeout)
	}
	if err != nil {
		remove()
		return nil, fmt.Errorf("serve %s: %w", s.Module, err)
	}
	return sync.OnceFunc(func() {
		remove()
		if c.Connected() { // else there is no server to wait for
			_ = c.nc.FlushTimeout(callTimeout)
		}
	}), nil
}

func (s ServiceConfig) key() string { return s.Module + " " + s.Host }

// addVerbs makes handlers answer the verbs of s and returns the module's service. After
// an error some may answer already: call removeVerbs in any case.
func (c *Conn) addVerbs(s ServiceConfig, handlers map[string]*verbHandler) (*moduleService, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	service := c.services[s.key()]
	if service == nil {
		made, err := micro.AddService(c.nc, micro.Config{
			Name:     ServiceName(s.Module),
			Version:  semver(s.Version),
			Metadata: map[string]string{metaHost: s.Host, metaVersion: s.Version},
		})
		if err != nil {
			return nil, err
		}
		service = &moduleService{micro: made, handlers: map[string]*verbHandler{}}
		c.services[s.key()] = service
	}
	service.users++
	for name, handler := range handlers {
		now, endpoint := service.handlers[name]
		if now != nil {
			return service, fmt.Errorf("verb %s is served already", name)
		}
		if !endpoint { // an endpoint cannot be removed again, so it may be there from before
			subject := micro.WithEndpointSubject(VerbSubject(s.Module, s.Host, name))
			if err := service.micro.AddEndpoint(strings.TrimSuffix(name, anyOperator), micro.HandlerFunc(func(r micro.Request) { c.dispatch(service, name, r) }), subject); err != nil {
				return service, fmt.Errorf("verb %s: %w", name, err)
			}
		}
		service.handlers[name] = handler
	}
	return service, nil
}

// removeVerbs removes those of handlers that answer now, and the service after the
// last call of Serve was stopped.
func (c *Conn) removeVerbs(s ServiceConfig, service *moduleService, handlers map[string]*verbHandler) {
	if service == nil { // it could not be made
		return
	}
	c.mu.Lock()
	for name, handler := range handlers {
		if service.handlers[name] == handler {
			service.handlers[name] = nil
		}
	}
	service.users--
	last := service.users == 0
	if last {
		delete(c.services, s.key())
	}
	c.mu.Unlock()
	if last {
		_ = service.micro.Stop() // fails on a closed connection only
	}
}

// dispatch calls the verb's handler. It runs on the subscription's goroutine: a panic
// becomes an answer and a log entry.
func (c *Conn) dispatch(s *moduleService, name string, r micro.Request) {
	defer func() {
		if v := recover(); v != nil {
			c.log.WithField("verb", name).WithField("panic", fmt.Sprint(v)).WithField("stack", string(debug.Stack())).Error("verb panicked")
			c.reply(r.Error("500", "internal error", nil))
		}
	}()
	c.mu.Lock()
	handler := s.handlers[name]
	c.mu.Unlock()
	switch {
	case handler == nil:
		c.reply(r.Error(codeNotServed, "not served now", nil))
	case !hasInboxReply(r.Reply()):
		c.log.WithField("subject", r.Subject()).WithField("reply", event.PrintableASCII(r.Reply(), maxHeader)).Error("request without an inbox to answer to dropped")
	case len(r.Data()) > maxRequest:
		c.reply(r.Error("413", "request too large", nil))
	default:
		c.answer(handler, r)
	}
}

// answer calls handler and sends what it returns. The server permits an answer for answerTime, and only on the connection on which the
// request came: what is later is not sent, since it would be a violation.
func (c *Conn) answer(handler *verbHandler, r micro.Request) {
	began, reconnects := time.Now(), c.nc.Stats().Reconnects
	respond := handle(handler, r)
	if time.Since(began) >= answerTime || c.nc.Stats().Reconnects != reconnects {
		respond = func() error { return errLateAnswer }
	}
	c.reply(respond())
}

var errLateAnswer = errors.New("the answer is too late, or the connection was lost meanwhile")

// handle calls handler with the request, and returns what sends its answer.
func handle(handler *verbHandler, r micro.Request) (respond func() error) {
	var result any
	var err error
	if handler.act != nil {
		result, err = handler.act(handler.ctx, OperatorOf(r.Subject()), r.Data())
	} else {
		result, err = handler.verb(handler.ctx, r.Data())
	}
	if err != nil {
		return func() error { return r.Error("400", event.PrintableASCII(err.Error(), maxHeader), nil) }
	}
	data, err := json.Marshal(result)
	if err != nil {
		return func() error { return err }
	}
	return func() error { return r.Respond(event.PrintableJSON(data)) }
}

// hasInboxReply distinguishes a request from a message that the server was made to deliver
// to the verb's subject: a direct get, or a pull request, may name it as the reply
// subject. Such a message has no reply subject itself, or that of an ack.
func hasInboxReply(reply string) bool {
	return strings.HasPrefix(reply, inboxRoot) || strings.HasPrefix(reply, serviceReplies)
}

// reply logs an answer that could not be sent; the client's timeout ends its wait.
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
