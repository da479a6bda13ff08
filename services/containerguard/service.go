package containerguard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/notify"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// Name is the module's name on the bus and in the table of modules.
const Name = bus.ContainerGuard

const (
	// concurrency is how many alerts are answered at a time. Each waits for Docker most
	// of the time; a burst of alerts must not queue behind the evidence of its first.
	concurrency  = 64
	drainTimeout = 5 * time.Second
)

// Deps are the dependencies of a Service. Metrics and DependsOn may be empty.
type Deps struct {
	Bus       *bus.Conn
	Host      string // this machine on the bus, one subject token
	DataDir   string // the module's own directory, which exists
	Version   string
	InFlight  bus.InFlight
	DependsOn []string // host:port of what Ironpost needs; containers that serve it are protected
	Log       logrus.FieldLogger
	Metrics   prometheus.Registerer
	// Trusted are the users who alone may be able to change policies that are read again without a reload; nil: everyone.
	Trusted ownership.Users
}

// Service is the container guard. It implements daemon.Module, daemon.Reloader and
// daemon.Starter; its methods but Run may be called concurrently.
type Service struct {
	deps           Deps
	log            logrus.FieldLogger
	durable        bus.Durable
	counters       counters
	answerDuration prometheus.Histogram
	health         *health.Reasons
	notifier       *notify.Notifier
	loadedPolicies uint64 // fingerprint of the policies that New loaded
	repeatFilter   *repeatFilter
	notifyTests    testLimit
	connections    *connection.Watcher

	cfg         atomic.Pointer[Config]
	policies    atomic.Pointer[policy.Set]
	protections atomic.Pointer[safety.Protections]
	run         atomic.Pointer[runState] // nil until Run has opened it
	capped      cappedBlock
	lastPanic   atomic.Pointer[time.Time] // while answering an alert; nil if there was none
}

// New returns a Service and starts nothing. Policies with mistakes are no error: the
// guard then answers no alert, is degraded, and loads them when they are corrected.
func New(cfg Config, deps Deps) (*Service, error) {
	durable, ok := bus.DurableOf(Name, bus.Alerts, deps.Host, deps.InFlight)
	if !ok || deps.Bus == nil || deps.Log == nil || !filepath.IsAbs(deps.DataDir) {
		return nil, fmt.Errorf("container guard: bus, log, host (is %q) and an absolute data directory (is %q) are required", deps.Host, deps.DataDir)
	}
	s := &Service{
		deps: deps, log: deps.Log.WithField("service", Name), durable: durable, answerDuration: newAnswerDuration(),
		health: health.New(Name, deps.Host), repeatFilter: newRepeatFilter(), connections: connection.NewWatcher(),
	}
	s.notifier = notify.New(cfg.WebhookURL, s.onNotificationDone)
	s.cfg.Store(&cfg)
	s.policies.Store(&policy.Set{})
	s.protections.Store(s.newProtections(cfg))
	s.loadedPolicies = fingerprint(cfg.PolicyPath)
	s.reloadPolicies()
	return s, nil
}

func (s *Service) config() Config { return *s.cfg.Load() }

// newProtections protects, besides what cfg lists, the containers that Ironpost and the
// guard depend on: also a socket proxy, if Docker is reached through one.
func (s *Service) newProtections(cfg Config) *safety.Protections {
	dependsOn := s.deps.DependsOn
	if proxy, ok := strings.CutPrefix(cfg.DockerSocket, "tcp://"); ok {
		dependsOn = append([]string{proxy}, dependsOn...)
	}
	return safety.NewProtections(safety.FindSelf("/"), cfg.Protected, dependsOn)
}

// Started is closed when alerts are consumed, and also when Run returns before that.
func (s *Service) Started() <-chan struct{} { return s.health.WhenStarted() }

// Run answers alerts until ctx ends and the delivered ones have been answered, or 5 s
// have passed. While Docker is away the guard is degraded and keeps running. It returns an error only
// if the data directory or the bus fails. It is called once.
func (s *Service) Run(ctx context.Context) (err error) {
	defer s.health.Started() // also after an early return: the daemon waits for it
	run, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.notifier.Close(), run.close()) }()
	stopMetrics, err := s.exportMetrics()
	if err != nil {
		return err
	}
	defer stopMetrics()
	return s.runLayers(ctx, run)
}

// runLayers runs three layers that are stopped in this order: consumers of alerts and
// requests, executors, and the reporter, which stores the actions of both. A layer that
// fails stops the consumers, too, so that Run returns and the guard is started again.
func (s *Service) runLayers(ctx context.Context, run *runState) error {
	reporting, stopReporting := detachedGroup(ctx)
	reporting.Go("reports", run.reporter.run)
	executing, stopExecuting := detachedGroup(ctx)
	executing.Go("inventory", run.inventory.Run)
	executing.Go("quarantine", run.quarantine.Run)
	executing.Go("notifications", s.notifier.Run)
	executing.Go("connections", s.connections.Run)
	if s.config().SenseConnections {
		executing.Go("connections of containers", run.sensor.Run)
	}
	s.resolveDependencies(ctx)    // before the first alert: their containers are protected by address too
	s.syncWithBlocklist(ctx, run) // before the first block: those that the state lost count
	stopVerbs, err := s.serve(ctx)
	if err == nil {
		consumingCtx, stopConsuming := context.WithCancel(ctx)
		defer stopConsuming()
		defer context.AfterFunc(executing.Context(), stopConsuming)()
		defer context.AfterFunc(reporting.Context(), stopConsuming)()
		consuming := task.New(consumingCtx)
		s.startConsumers(consuming, run)
		err = consuming.Wait()
		stopVerbs()
	}
	stopExecuting()
	err = errors.Join(err, executing.Wait())
	flushing, cancel := context.WithTimeout(reporting.Context(), drainTimeout)
	defer cancel()
	_ = run.reporter.flush(flushing) // actions not stored in time are reported again after the next start
	stopReporting()
	return errors.Join(err, reporting.Wait())
}

// detachedGroup returns a group that ends when stop is called, not with ctx.
func detachedGroup(ctx context.Context) (g *task.Group, stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return task.New(ctx), cancel
}

func (s *Service) startConsumers(g *task.Group, run *runState) {
	g.Go("alerts", func(ctx context.Context) error {
		return s.deps.Bus.Consume(ctx, s.durable, bus.ConsumeOptions{
			Host: s.deps.Host, Drain: drainTimeout, Concurrency: concurrency, Log: s.log,
			Ahead: s.durable.MaxAckPending, Urgent: urgentRank, Rank: rankAlert,
		}, s.handle)
	})
	g.Go("pending alerts", s.retryPendingLoop)
	g.Go("connections of waiting alerts", s.confirmConnections)
	g.Go("waiting alerts", s.retryWaiting)
	g.Go("policies", s.watchPolicies)
	g.Go("maintenance", func(ctx context.Context) error { return s.maintain(ctx, run) })
	s.health.Started()
}

// PrepareReload implements daemon.Reloader: cfg must be a Config. A policy with a
// mistake is an error, and everything stays as it was. Another socket, poll interval, trust in labels or
// sense_connections returns no commit and no error: it needs a new Service.
func (s *Service) PrepareReload(_ context.Context, cfg any) (commit func(), err error) {
	c, ok := cfg.(Config)
	if !ok {
		return nil, fmt.Errorf("container guard: %T is not its configuration", cfg)
	}
	old := s.config()
	if c.DockerSocket != old.DockerSocket || c.PollIntervalSecs != old.PollIntervalSecs || c.SenseConnections != old.SenseConnections || !slices.Equal(c.TrustImageLabels, old.TrustImageLabels) {
		return nil, nil
	}
	set, missing, err := loadPolicies(c.PolicyPath)
	if err != nil {
		return nil, err
	}
	return func() {
		s.cfg.Store(&c)
		protections := s.newProtections(c)
		protections.Inherit(s.protections.Load())
		s.protections.Store(protections)
		s.notifier.SetURL(c.WebhookURL)
		if run := s.run.Load(); run != nil {
			run.guardState.SetLimits(c.limits())
			run.blocks.SetLimits(c.blockLimits())
			run.quarantine.SetEvidenceLimits(c.evidenceLimits())
		}
		s.usePolicies(set, missing)
	}, nil
}

// observeContainer passes a change to the quarantine, which isolates a replacement of
// an isolated container. A removed one leaves the caps.
func (s *Service) observeContainer(run *runState, c inventory.Change) {
	if c.Gone {
		run.guardState.Remove(c.Container.ID) // it leaves the caps at once
		run.signs.Remove(c.Container.ID)
	}
	run.sensor.Changed()
	if c.Gone || s.observable(run, c.Container, run.inventory.List()) {
		run.quarantine.Observe(c)
	}
}

// observableContainers returns the containers whose changes observeContainer passes on.
func (s *Service) observableContainers(run *runState) []docker.Container {
	all := run.inventory.List()
	return slices.DeleteFunc(slices.Clone(all), func(c docker.Container) bool { return !s.observable(run, c, all) })
}

// observable is false for a protected container, which must not be isolated as a
// replacement. One that is isolated already, such as by an operator's force, stays so.
func (s *Service) observable(run *runState, c docker.Container, all []docker.Container) bool {
	_, isolated := run.quarantine.Get(c.ID)
	return isolated || s.protections.Load().Reason(c, all) == ""
}

// recheckOrder says why an order that waited for Docker is no longer carried out: the
// container may have become protected, or auto_isolate been switched off. While the
// inventory is out of date that is not known, as another container may share its network.
func (s *Service) recheckOrder(run *runState, o quarantine.Order, c docker.Container) (refused string, known bool) {
	switch {
	case o.Forced:
		return "", true
	case run.inventory.StaleReason() != "":
		return "", false
	case o.Policy != operatorPolicy && !s.config().AutoIsolate:
		return "container.auto_isolate has become false", true
	}
	return s.protections.Load().Reason(c, run.inventory.List()), true
}
