// Package actioncollector consumes the actions of its host and writes each into
// an audit trail that shows whether anybody changed it (package audit). The head of the
// trail is also kept in the bucket ironpost_audit, so that a cut end shows. An
// action is acknowledged only when its record is on the disk.
package actioncollector

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// Name is the name of the module.
const Name = bus.ActionCollector

const (
	drain         = 5 * time.Second // how long a stop goes on consuming what is pending
	together      = 256             // actions that may share one write; 16 MiB at their largest
	retry         = time.Second     // between attempts to write an action
	recheck       = 2 * time.Second // how often a trail that could not be opened is tried again
	rememberBreak = 7 * 24 * time.Hour
)

// Deps are what a Service works with. All but Metrics must be set.
type Deps struct {
	Bus      *bus.Conn
	Host     string
	DataDir  string // used if Config.AuditPath is empty
	Log      logrus.FieldLogger
	Metrics  prometheus.Registerer
	InFlight bus.InFlight
}

// Service is the module. Run is called once; Health at any time, also concurrently.
type Service struct {
	cfg     Config
	deps    Deps
	log     logrus.FieldLogger
	durable bus.Durable
	metrics *metrics
	health  *health

	mu    sync.Mutex // guards trail: deliveries and the recheck use it
	trail *audit.Trail
	head  audit.Head // newest known, also while no trail is open
	keep  *keeper
	ended bool // nothing is written any more
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
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	return &Service{
		cfg: cfg, deps: deps, durable: durable, metrics: m,
		log:    deps.Log.WithField("service", Name),
		health: newHealth(deps.Host),
	}, nil
}

// Run audits actions until ctx ends and what is pending has been audited, or 5 s
// have passed. A trail that cannot be written is a reason to be degraded: actions then wait in
// the stream. Run returns an error only if the bus fails it.
func (s *Service) Run(ctx context.Context) (err error) {
	s.keep, err = newKeeper(ctx, s.deps.Bus, s.deps.Host)
	if err != nil {
		return fmt.Errorf("head of the audit trail: %w", err)
	}
	s.head = s.keep.start
	s.reportHead()
	if err := s.reopen(ctx); err != nil {
		s.log.WithError(err).Error("audit trail not usable")
	}
	defer func() { err = errors.Join(err, s.close()) }()
	stop, err := s.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return s.work(ctx)
}

// work consumes beside the keeper of the head, which is the last to stop, and the recheck.
func (s *Service) work(ctx context.Context) error {
	keeping := task.New(context.WithoutCancel(ctx))
	keeping.Go("audit-head", s.keepHead)
	consuming := task.New(ctx)
	consuming.Go("audit-recheck", s.recheck)
	consuming.Go("audit", s.consume)
	err := consuming.Wait()
	s.end()
	return errors.Join(err, keeping.Wait())
}

// end is after the last action. A request to accept may still be on its way.
func (s *Service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.keep.stop()
}

func (s *Service) consume(ctx context.Context) error {
	return s.deps.Bus.ConsumeBatches(ctx, s.durable, bus.ConsumeOptions{
		Host: s.deps.Host, Drain: drain, Prefetch: together, Log: s.log,
	}, s.handle)
}

// Health reports what keeps the module from its work. It may be called concurrently.
func (s *Service) Health() event.ModuleHealth { return s.health.report() }
