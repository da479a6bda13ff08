// Package edge is what makes a daemon an edge: a forwarder that sends its alerts and actions to the
// bus of another daemon, the hub, copies the hub's blocklist, and answers there for the health of its
// host; and on the hub a monitor of its edges. Packets are not forwarded.
package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// checkInterval is how often the link and what waits are checked.
	checkInterval = time.Second
	// unreachableAfter is how long the hub may be out of reach before that is a reason.
	unreachableAfter = 5 * time.Second
	closeTimeout     = 2 * time.Second

	// The waits between attempts to reach the hub at the start; later the connection itself tries again
	// every half second.
	firstDial = 500 * time.Millisecond
	dialLimit = 2 * time.Second
)

// Deps are what a Forwarder needs.
type Deps struct {
	Bus     *bus.Conn   // of bus.Forwarder, on this host's own bus
	Hub     bus.Options // of bus.Edge, on the hub
	Host    string
	Version string
	// Health returns the health of this host's daemon, for the hub.
	Health  func(ctx context.Context) event.DaemonHealth
	Log     logrus.FieldLogger
	Metrics prometheus.Registerer
}

// Forwarder is the module of an edge. Run is called once; its other methods may be called
// concurrently.
type Forwarder struct {
	deps    Deps
	reasons *health.Reasons

	mu     sync.Mutex
	hub    *bus.Conn // nil until it was reached
	queues []*queue
	blocks *bus.HubBlocklist // nil until the hub was reached
	lost   time.Time         // since when the hub is out of reach; zero while it is reached
	failed error             // of the last attempt to reach it
}

// queue is a stream that is forwarded.
type queue struct {
	durable bus.Durable
	forward *bus.Forward // nil until the hub was reached
	unsent  uint64
	oldest  time.Time // of the unsent; zero if there is none
	err     error     // why unsent is not known
}

// New returns a Forwarder that has started nothing.
func New(deps Deps) (*Forwarder, error) {
	f := &Forwarder{deps: deps, reasons: health.New(bus.Forwarder, deps.Host), lost: time.Now()}
	for _, stream := range []bus.StreamName{bus.Alerts, bus.Actions} {
		d, ok := bus.DurableOf(bus.Forwarder, stream, deps.Host, bus.InFlight{})
		if !ok {
			return nil, fmt.Errorf("no durable for %s", stream)
		}
		f.queues = append(f.queues, &queue{durable: d})
	}
	return f, nil
}

// Run forwards until ctx ends. That the hub cannot be reached is no error: records wait in the streams.
func (f *Forwarder) Run(ctx context.Context) error {
	stop, err := metrics.Export(f.deps.Metrics, "ironpost_forwarder_", described(), f.collect)
	if err != nil {
		return err
	}
	defer stop()
	f.reasons.Started()
	g := task.New(ctx)
	g.Go("check the link", f.check)
	g.Go("forward", f.forward)
	return g.Wait()
}

// Started implements daemon.Starter.
func (f *Forwarder) Started() <-chan struct{} { return f.reasons.WhenStarted() }

// forward connects to the hub and works there until ctx ends or the connection is closed for good.
func (f *Forwarder) forward(ctx context.Context) (err error) {
	hub := f.dial(ctx)
	if hub == nil {
		return nil
	}
	defer func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closed := hub.Close(bound); closed != nil && !errors.Is(closed, context.DeadlineExceeded) {
			err = errors.Join(err, closed)
		}
	}()
	blocks := bus.NewHubBlocklist(f.deps.Bus, hub)
	g := task.New(ctx)
	f.mu.Lock()
	f.hub, f.blocks = hub, blocks
	for _, q := range f.queues {
		if q.forward, err = bus.NewForward(f.deps.Bus, q.durable, f.deps.Host, hub); err != nil {
			break
		}
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	for _, q := range f.queues {
		g.Go("forward "+string(q.durable.Stream), func(ctx context.Context) error {
			defer q.forward.Close()
			return q.forward.Run(ctx)
		})
	}
	g.Go("blocklist", blocks.Run)
	g.Go("status", func(ctx context.Context) error { return f.serveStatus(ctx, hub) })
	return g.Wait()
}

// dial connects to the hub, or returns nil when ctx ends.
func (f *Forwarder) dial(ctx context.Context) *bus.Conn {
	for attempt := 0; ; attempt++ {
		hub, err := bus.Connect(ctx, f.deps.Hub)
		if err == nil {
			f.deps.Log.WithField("hub", f.deps.Hub.URL).Info("hub reached")
			return hub
		}
		if ctx.Err() != nil {
			return nil
		}
		f.mu.Lock()
		f.failed = err
		f.mu.Unlock()
		if attempt == 0 {
			f.deps.Log.WithError(err).Warn("hub not reached, trying again")
		}
		task.Pause(ctx, backoff.Delay(attempt, firstDial, dialLimit))
	}
}

// serveStatus answers on the hub for this host's daemon, until ctx ends.
func (f *Forwarder) serveStatus(ctx context.Context, hub *bus.Conn) error {
	for ctx.Err() == nil {
		stop, err := hub.Serve(ctx, bus.ServiceConfig{
			Module: bus.Daemon, Host: f.deps.Host, Version: f.deps.Version,
			Verbs: map[string]bus.Verb{"status": func(ctx context.Context, _ []byte) (any, error) { return f.deps.Health(ctx), nil }},
		})
		if err == nil {
			<-ctx.Done()
			stop()
			return nil
		}
		task.Pause(ctx, dialLimit) // the link was lost meanwhile
	}
	return nil
}

// Peers returns the addresses of the hub. A block must not cut it off.
func (f *Forwarder) Peers() []netip.Addr {
	f.mu.Lock()
	hub := f.hub
	f.mu.Unlock()
	if hub == nil {
		return nil
	}
	return hub.Peers()
}
