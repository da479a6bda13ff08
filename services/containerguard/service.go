package containerguard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
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
	// workers is how many alerts are answered at a time. Each waits for Docker most
	// of the time; a burst of alerts must not queue behind the evidence of its first.
	workers = 64
	// prefetch is how many alerts a worker holds: one, so that none waits behind
	// another that takes long while others are idle.
	prefetch     = 1
	drainTimeout = 5 * time.Second
	// maintainInterval is how often the memory follows the ledger, and names are resolved.
	maintainInterval = 2 * time.Second
	resolveEvery     = 30 // upkeeps
	resolveTimeout   = 5 * time.Second
)

// Deps are what the service works with. Metrics and Needs may be empty.
type Deps struct {
	Bus       *bus.Conn
	Host      string // this machine on the bus, one subject token
	DataDir   string // the module's own folder; it is there
	Version   string
	InFlight  bus.InFlight
	DependsOn []string // host:port of what the guard depends on; containers that serve it are left alone
	Log       logrus.FieldLogger
	Metrics   prometheus.Registerer
}

// Service is the container guard. It implements daemon.Module, daemon.Reloader and
// daemon.Starter.
type Service struct {
	deps     Deps
	log      logrus.FieldLogger
	durable  bus.Durable
	counters counters
	health   *condition
	metrics  *collector
	notifier *notify.Notifier
	loaded   uint64 // fingerprint of the policies that New loaded

	cfg          atomic.Pointer[Config]
	policies     atomic.Pointer[policy.Set]
	protections  atomic.Pointer[safety.Protections]
	run          atomic.Pointer[runState]
	repeatFilter *repeatFilter
	started      chan struct{}
}

// New returns a Service and starts nothing. Policies that cannot be used are no
// error: the guard then does nothing, says so, and takes up what is mended.
func New(cfg Config, deps Deps) (*Service, error) {
	durable, ok := bus.DurableOf(Name, bus.Alerts, deps.Host, deps.InFlight)
	if !ok || deps.Bus == nil || deps.Log == nil || !filepath.IsAbs(deps.DataDir) {
		return nil, fmt.Errorf("container guard: bus, log, host %q and an absolute data folder %q must be given", deps.Host, deps.DataDir)
	}
	s := &Service{
		deps: deps, log: deps.Log.WithField("service", Name), durable: durable, health: newCondition(),
		repeatFilter: newRepeatFilter(), started: make(chan struct{}),
	}
	s.notifier = notify.New(cfg.WebhookURL, s.onNotificationDone)
	s.metrics = newCollector(s)
	s.cfg.Store(&cfg)
	s.policies.Store(&policy.Set{})
	s.protections.Store(s.newProtections(cfg))
	s.loaded = fingerprint(cfg.PolicyPath)
	s.reloadPolicies()
	return s, nil
}

func (s *Service) config() Config { return *s.cfg.Load() }

// proxyOf returns the host:port of a socket proxy.
func proxyOf(socket string) (string, bool) { return strings.CutPrefix(socket, "tcp://") }

func (s *Service) newProtections(cfg Config) *safety.Protections {
	needs := s.deps.DependsOn
	if proxy, ok := proxyOf(cfg.DockerSocket); ok {
		needs = append([]string{proxy}, needs...)
	}
	return safety.NewProtections(safety.FindSelf("/"), cfg.Protected, needs)
}

// Started is closed once alerts are consumed. It may be called concurrently.
func (s *Service) Started() <-chan struct{} { return s.started }

// Run answers alerts until ctx ends and what is pending has been answered, or 5 s
// have passed. Docker that is away is a reason to be degraded. It returns an error
// only if the data folder or the bus fails it. It is called once.
func (s *Service) Run(ctx context.Context) (err error) {
	p, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.notifier.Close(), p.close()) }()
	stop, err := s.export()
	if err != nil {
		return err
	}
	defer stop()
	return s.work(ctx, p)
}

// work runs three layers, stopped from the first to the last: those who take in
// alerts and requests, those who carry out, and the one who reports.
func (s *Service) work(ctx context.Context, p *runState) error {
	reporting, endReports := layer(ctx)
	reporting.Go("reports", p.reporter.run)
	carrying, endWork := layer(ctx)
	carrying.Go("inventory", p.inventory.Run)
	carrying.Go("quarantine", p.quarantine.Run)
	carrying.Go("notifications", s.notifier.Run)
	taking := task.New(ctx)
	s.resolve(ctx) // before the first alert: who serves a name is protected by its address
	silence, err := s.serve(ctx)
	if err == nil {
		s.startConsumers(taking, p)
		err = taking.Wait()
		silence()
	}
	endWork()
	err = errors.Join(err, carrying.Wait())
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	_ = p.reporter.flush(flush) // at worst they are reported again
	endReports()
	return errors.Join(err, reporting.Wait())
}

// layer returns a group that ends when it is told to, not with ctx.
func layer(ctx context.Context) (*task.Group, func()) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return task.New(own), cancel
}

func (s *Service) startConsumers(g *task.Group, p *runState) {
	for range workers {
		g.Go("alerts", func(ctx context.Context) error {
			return s.deps.Bus.Consume(ctx, s.durable, bus.ConsumeOptions{
				Host: s.deps.Host, Drain: drainTimeout, Prefetch: prefetch, Log: s.log,
			}, s.handle)
		})
	}
	g.Go("waiting alerts", s.retryPendingLoop)
	g.Go("policies", s.watchPolicies)
	g.Go("upkeep", func(ctx context.Context) error { return s.maintain(ctx, p) })
	close(s.started)
}

// observeContainer hands a change to the quarantine, which holds anew what Compose makes anew.
// A container that is protected is not held in place of another; one that is held
// already, as by a person's force, stays so.
func (s *Service) observeContainer(p *runState, c inventory.Change) {
	if _, held := p.quarantine.Get(c.Container.ID); !held && !c.Gone {
		if reason := s.protections.Load().Reason(c.Container, p.inventory.List()); reason != "" {
			return
		}
	}
	p.quarantine.Observe(c)
}

// recheckOrder says why an order that had to wait for Docker is not carried out any more:
// what stands against it may have come meanwhile. Without an inventory that is up to
// date that is not known yet: another container may share its network by now.
func (s *Service) recheckOrder(p *runState, o quarantine.Order, c docker.Container) (refused string, known bool) {
	switch {
	case o.Forced:
		return "", true
	case p.inventory.StaleReason() != "":
		return "", false
	case o.Policy != operatorPolicy && !s.config().AutoIsolate:
		return "container.auto_isolate is false by now", true
	}
	return s.protections.Load().Reason(c, p.inventory.List()), true
}

// maintain has the memory follow the ledger, and the protections the names they know.
func (s *Service) maintain(ctx context.Context, p *runState) error {
	tick := time.NewTicker(maintainInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		s.syncWithLedger(p)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if n%resolveEvery == 0 {
			s.resolve(ctx)
		}
	}
}

func (s *Service) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	s.protections.Load().Resolve(ctx)
}

func (s *Service) syncWithLedger(p *runState) {
	var ledger []safety.LedgerEntry
	for _, e := range p.quarantine.List() {
		if !e.Gone.IsZero() { // removed: what is made in its place counts
			continue
		}
		ledger = append(ledger, safety.LedgerEntry{Container: e.Before.ID, Project: e.Before.Project, Since: e.Since, Replaces: e.Replaces != ""})
	}
	p.memory.Keep(ledger, time.Now())
	s.saveState(p)
}

// saveState writes the memory; if that fails it holds all the same, until a restart.
func (s *Service) saveState(p *runState) {
	reason := ""
	if err := errors.Join(p.memory.Save(), p.votes.Save()); err != nil {
		reason = err.Error()
	}
	if s.health.say(aboutMemory, reason) && reason != "" {
		s.log.WithField("reason", reason).Error("what was done is remembered until a restart only")
	}
}

// Health reports what keeps the module from its work. It may be called concurrently.
func (s *Service) Health() event.ModuleHealth {
	if p := s.run.Load(); p != nil {
		reason := p.inventory.StaleReason()
		if reason != "" {
			reason = "containers are not acted on: " + reason
		}
		s.health.say(aboutDocker, reason)
		s.health.say(aboutEvidence, p.quarantine.EvidenceReason())
	}
	counters := s.levels()
	for name, row := range s.counted() {
		counters[name] = row.value
	}
	return s.health.report(s.deps.Host, counters)
}

// PrepareReload implements daemon.Reloader: cfg is a Config. Policies with a mistake
// refuse it. Another socket or interval asks for a new service.
func (s *Service) PrepareReload(_ context.Context, cfg any) (commit func(), err error) {
	c, ok := cfg.(Config)
	if !ok {
		return nil, fmt.Errorf("container guard: %T is not its configuration", cfg)
	}
	old := s.config()
	if c.DockerSocket != old.DockerSocket || c.PollIntervalSecs != old.PollIntervalSecs {
		return nil, nil
	}
	set, missing, err := loadPolicies(c.PolicyPath)
	if err != nil {
		return nil, err
	}
	return func() {
		s.cfg.Store(&c)
		protect := s.newProtections(c)
		protect.Inherit(s.protections.Load())
		s.protections.Store(protect)
		s.notifier.SetURL(c.WebhookURL)
		if p := s.run.Load(); p != nil {
			p.memory.SetLimits(c.limits())
			p.quarantine.SetEvidenceLimits(c.evidence())
		}
		s.usePolicies(set, missing)
	}, nil
}
