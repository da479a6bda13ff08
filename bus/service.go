package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
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

// Serve answers requests until stop is called or the connection is closed. Each
// verb is answered one request at a time.
func (c *Conn) Serve(ctx context.Context, s ServiceConfig) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	service, err := micro.AddService(c.nc, micro.Config{
		Name:     ServiceName(s.Module),
		Version:  semver(s.Version),
		Metadata: map[string]string{metaHost: s.Host, metaVersion: s.Version},
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("serve %s: %w", s.Module, err)
	}
	stop = func() {
		cancel()
		_ = service.Stop() // fails only on a closed connection, where nothing is served
		_ = c.nc.FlushTimeout(callTimeout)
	}
	for _, name := range verbNames(s.Verbs) {
		handler := micro.HandlerFunc(func(r micro.Request) { c.answer(ctx, s.Verbs[name], r) })
		if err := service.AddEndpoint(name, handler, micro.WithEndpointSubject(StatusSubject(s.Module, s.Host, name))); err != nil {
			stop()
			return nil, fmt.Errorf("serve %s: verb %s: %w", s.Module, name, err)
		}
	}
	return stop, c.nc.FlushTimeout(callTimeout)
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
		c.log.WithField("subject", r.Subject()).WithField("reply", printable(r.Reply(), maxHeader)).Error("request that nobody asked dropped")
		return
	}
	if len(r.Data()) > maxRequest {
		c.reply(r.Error("413", "request too large", nil))
		return
	}
	result, err := verb(ctx, r.Data())
	if err != nil {
		c.reply(r.Error("400", printable(err.Error(), maxHeader), nil))
		return
	}
	c.reply(r.RespondJSON(result))
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
	return slices.CompactFunc(found, func(a, b ServiceStatus) bool { // verbs of one module may be served apart
		return a.Host == b.Host && a.Module == b.Module
	})
}
