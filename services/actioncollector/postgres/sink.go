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

// drain is how long pending deliveries are still consumed after a stop.
const drain = 2 * time.Second

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
	cfg    storage.Config
	deps   Deps
	log    logrus.FieldLogger
	writer atomic.Pointer[storage.Writer] // nil until Run
	feeds  []*feed
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
	writer, err := storage.OpenWriter(s.cfg, storage.WriterDeps{
		Log: s.log, Reasons: s.deps.Reasons, Waiting: s.waiting, Poll: s.checkDurables,
	})
	if err != nil {
		return err
	}
	defer writer.Close()
	s.writer.Store(writer)
	unexport, err := s.export()
	if err != nil {
		return err
	}
	defer unexport()
	defer s.deps.Reasons.Clear(topicDurable)
	group := task.New(ctx)
	group.Go("postgres maintenance", writer.Maintain)
	for _, f := range s.feeds {
		group.Go("postgres "+f.name, func(ctx context.Context) error {
			return s.deps.Bus.ConsumeBatches(ctx, f.durable, bus.ConsumeOptions{
				Host: s.deps.Host, Drain: drain, Prefetch: s.prefetch(f), Log: s.log,
			}, func(work context.Context, ds []bus.Delivery) []error {
				return s.handle(work, ctx.Done(), writer, f, ds)
			})
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
