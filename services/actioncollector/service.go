package actioncollector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
	"github.com/ironpost/ironpost/services/actioncollector/postgres"
)

// Name is the name of the module.
const Name = bus.ActionCollector

const (
	drain         = 5 * time.Second    // how long pending deliveries are still consumed after a stop
	maxBatch      = 256                // actions that may share one write; 16 MiB at their largest
	retryInterval = time.Second        // between attempts to write an action, and to store the head
	openInterval  = 2 * time.Second    // between attempts to open the trail
	breakAge      = 7 * 24 * time.Hour // how long a declared break degrades the module
)

// The health topics.
const (
	topicBroken = "broken"
	topicHead   = "head"
	topicOpen   = "open"
	topicWrite  = "write"
)

// Deps are the dependencies of a Service. All but Metrics must be set.
type Deps struct {
	Bus      *bus.Conn
	Host     string
	DataDir  string // used if Config.AuditPath is empty
	Log      logrus.FieldLogger
	Metrics  prometheus.Registerer // nil: no metrics
	InFlight bus.InFlight
	Storage  storage.Config // where alerts and actions are stored too; without a URL nowhere
}

// Service is the module. Run is called once; Health may be called at any time, also concurrently.
type Service struct {
	cfg      Config
	deps     Deps
	log      logrus.FieldLogger
	durable  bus.Durable
	reasons  *health.Reasons
	postgres *postgres.Sink // nil: not configured
	counters

	// mu guards the trail and what belongs to it. It is held while the trail is read and written, so Health
	// must not take it.
	mu      sync.Mutex
	trail   *audit.Trail // nil while it is not open
	readAll bool         // the next open reads the closed segments too
	head    audit.Head   // newest known, also while the trail is not open
	heads   *headStore
	stopped bool // nothing is written any more
}

// New returns a Service. It starts nothing and touches no file.
func New(cfg Config, deps Deps) (*Service, error) {
	durable, ok := bus.DurableOf(Name, bus.Actions, deps.Host, deps.InFlight)
	if !ok {
		return nil, fmt.Errorf("no durable of %s on %s", Name, bus.Actions)
	}
	if cfg.AuditPath == "" {
		cfg.AuditPath = filepath.Join(deps.DataDir, "audit")
	}
	s := &Service{
		cfg: cfg, deps: deps, durable: durable, log: deps.Log.WithField("service", Name),
		reasons: health.New(Name, deps.Host), counters: newCounters(),
	}
	if deps.Storage.URL == "" {
		return s, nil
	}
	var err error
	s.postgres, err = postgres.New(deps.Storage, postgres.Deps{
		Bus: deps.Bus, Host: deps.Host, Log: s.log, Metrics: deps.Metrics, InFlight: deps.InFlight, Reasons: s.reasons,
	})
	return s, err
}

// Run records actions until ctx ends and the pending ones are recorded, or 5 s have passed. It returns an
// error only if the bus fails; a trail that cannot be written, or a PostgreSQL that stores nothing, is a
// health reason.
func (s *Service) Run(ctx context.Context) (err error) {
	unexport, err := s.exportMetrics()
	if err != nil {
		return err
	}
	defer unexport()
	s.heads, err = newHeadStore(ctx, s.deps.Bus, s.deps.Host)
	if err != nil {
		return fmt.Errorf("stored head of the audit trail: %w", err)
	}
	s.head = s.heads.initial
	if err := s.heads.unreadable; err != nil {
		s.reasons.Set(topicBroken, err.Error())
		s.log.WithError(err).Error("stored head of the audit trail unreadable, a cut end is not detected")
	}
	s.reopen(ctx)
	s.reasons.Started()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closeTrail()
	}()
	stop, err := s.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()

	heads := task.New(context.WithoutCancel(ctx)) // stops last, after the last action
	heads.Go("audit-head", s.storeHeads)
	work := task.New(ctx)
	work.Go("audit-open", s.maintainTrail)
	work.Go("audit", func(ctx context.Context) error {
		return s.deps.Bus.ConsumeBatches(ctx, s.durable, bus.ConsumeOptions{
			Host: s.deps.Host, Drain: drain, Prefetch: maxBatch, Log: s.log,
		}, s.handle)
	})
	if s.postgres != nil {
		work.Go("postgres", s.postgres.Run)
	}
	err = work.Wait()
	s.stop()
	return errors.Join(err, heads.Wait())
}

// stop is called after the last action. A request to accept may still be in flight; it is refused then.
func (s *Service) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.heads.stop()
}

// Started is closed once the trail is open, or the first attempt to open it has failed.
func (s *Service) Started() <-chan struct{} { return s.reasons.WhenStarted() }

// Health returns the status, its reasons and the counters.
func (s *Service) Health() event.ModuleHealth {
	counters := s.counters.byName()
	if s.postgres != nil {
		maps.Copy(counters, s.postgres.Counters())
	}
	return s.reasons.Report(counters)
}
