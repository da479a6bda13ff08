package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	drain         = 2 * time.Second // how long pending deliveries are still consumed after a stop
	firstRetry    = 250 * time.Millisecond
	maxRetry      = 10 * time.Second
	pingInterval  = 10 * time.Second // how soon it is seen that PostgreSQL is down while nothing is stored
	maintainEvery = time.Hour        // partitions are made days ahead
)

// Deps are the dependencies of a Sink. All but Metrics must be set.
type Deps struct {
	Bus      *bus.Conn
	Host     string
	Log      logrus.FieldLogger
	Metrics  prometheus.Registerer // nil: no metrics
	InFlight bus.InFlight
	Reasons  *health.Reasons // of the module
}

// Sink is the sink. Run is called once; Counters may be called at any time, also concurrently.
type Sink struct {
	cfg      storage.Config
	deps     Deps
	log      logrus.FieldLogger
	store    *storage.Store // opened by Run
	feeds    []*feed
	prepared atomic.Bool // the tables are there
	failing  atomic.Pointer[failure]
	sinkMetrics
}

// New returns a sink that stores as cfg says. It connects to nothing. An error says what is wrong with the URL.
func New(cfg storage.Config, deps Deps) (*Sink, error) {
	if err := storage.CheckURL(cfg.URL); err != nil {
		return nil, fmt.Errorf("log_pipeline.storage.postgres_url: %w", err)
	}
	s := &Sink{cfg: cfg, deps: deps, log: deps.Log.WithField("sink", bus.SinkPostgreSQL), sinkMetrics: newMetrics()}
	for _, f := range []*feed{
		{stream: bus.Alerts, table: storage.Alerts, name: "alerts", row: alertRow},
		{stream: bus.Actions, table: storage.Actions, name: "actions", row: actionRow},
	} {
		var ok bool
		f.durable, ok = bus.SinkDurable(bus.ActionCollector, bus.SinkPostgreSQL, f.stream, deps.Host, deps.InFlight)
		if !ok {
			return nil, fmt.Errorf("no durable of %s on %s for PostgreSQL", bus.ActionCollector, f.stream)
		}
		s.feeds = append(s.feeds, f)
	}
	return s, nil
}

// Run stores records until ctx ends and the pending ones are stored, or 2 s have passed. It returns an error
// only if the bus fails for good: what is wrong with PostgreSQL is a health reason.
func (s *Sink) Run(ctx context.Context) error {
	var err error
	if s.store, err = storage.Open(s.cfg); err != nil {
		return err
	}
	defer s.store.Close()
	unexport, err := s.export()
	if err != nil {
		return err
	}
	defer unexport()
	defer s.deps.Reasons.Clear(topic)
	defer s.deps.Reasons.Clear(topicDurable)
	group := task.New(ctx)
	group.Go("postgres maintenance", s.maintain)
	for _, f := range s.feeds {
		group.Go("postgres "+f.name, func(ctx context.Context) error {
			return s.deps.Bus.ConsumeBatches(ctx, f.durable, bus.ConsumeOptions{
				Host: s.deps.Host, Drain: drain, Prefetch: s.prefetch(f), Log: s.log,
			}, func(work context.Context, ds []bus.Delivery) []error { return s.handle(work, ctx.Done(), f, ds) })
		})
	}
	return group.Wait()
}

// prefetch is how many deliveries are stored together: batch_size, and at most what may be in flight.
func (s *Sink) prefetch(f *feed) int {
	if s.cfg.BatchSize <= 0 {
		return f.durable.MaxAckPending
	}
	return min(s.cfg.BatchSize, f.durable.MaxAckPending)
}

// maintain makes the tables and partitions, drops what is older than the retention, and checks that
// PostgreSQL answers, also while no record comes.
func (s *Sink) maintain(ctx context.Context) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for next := time.Now(); ; {
		if time.Now().Before(next) {
			s.ping(ctx)
		} else if s.maintainOnce(ctx) {
			next = time.Now().Add(maintainEvery)
		}
		s.checkDurables(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// maintainOnce reports whether all was done.
func (s *Sink) maintainOnce(ctx context.Context) bool {
	err := s.prepare(ctx)
	var done storage.Maintained
	if err == nil {
		done, err = s.store.Maintain(ctx)
	}
	if ctx.Err() != nil {
		return false
	}
	log := s.log.WithField("created", done.Created).WithField("dropped", done.Dropped)
	if err != nil {
		s.failed(ctx, err)
		log.WithError(err).Warn("partitions of PostgreSQL not maintained, trying again")
		return false
	}
	s.works()
	if done.Created > 0 || len(done.Dropped) > 0 {
		log.Info("partitions of PostgreSQL made or dropped")
	}
	return true
}

func (s *Sink) ping(ctx context.Context) {
	if err := s.store.Ping(ctx); err != nil && ctx.Err() == nil {
		s.failed(ctx, err)
	} else if f := s.failing.Load(); f != nil && f.kind == storage.Down {
		s.works() // no record may come that shows it
	}
}

// prepare makes the tables or checks them, until that has succeeded once.
func (s *Sink) prepare(ctx context.Context) error {
	if s.prepared.Load() {
		return nil
	}
	if err := s.store.Prepare(ctx); err != nil {
		return err
	}
	s.prepared.Store(true)
	return nil
}
