package daemon

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/sdnotify"
	"github.com/ironpost/ironpost/internal/task"
)

// Options are what a Supervisor needs. Host, Specs, StopTimeout, HealthInterval,
// Signals and Log must be set.
type Options struct {
	Host    string
	Version string
	Began   time.Time // start of the process; now if zero

	Durability string // as in event.DaemonHealth

	Specs []Spec // in start and stop order: producers before their consumers
	After []Step // closed in this order once the modules have stopped

	StopTimeout    time.Duration // of the whole stop
	HealthInterval time.Duration
	Signals        <-chan os.Signal // SIGTERM and SIGINT stop, SIGHUP reloads
	Log            logrus.FieldLogger
	Notify         *sdnotify.Notifier // nil: no systemd

	// Observe returns reasons why a module is degraded that the module itself cannot
	// know, by name; a name that is in no Spec, such as "bus", becomes a row of its own. Optional.
	Observe func(ctx context.Context) map[string][]string
	// Publish sends each periodic health to observers. Optional.
	Publish func(ctx context.Context, h event.DaemonHealth) error
	// Reload reads the configuration again. Optional: then SIGHUP is refused.
	Reload func(ctx context.Context) (Plan, error)
}

// Supervisor runs the modules. Health, Ready and SetHealthInterval may be called
// concurrently with Run, which is called once.
type Supervisor struct {
	opts    Options
	log     logrus.FieldLogger
	runners map[string]*runner // of the enabled modules that are in this build
	reloads reloadCounts

	healthCache healthCache
	checking    chan struct{}      // held while the modules are being checked
	newInterval chan time.Duration // a new health interval; holds one, the newest
	checkSoon   chan struct{}      // asks for a health report before the next interval; holds one

	ready    atomic.Bool
	stopping atomic.Bool
}

// New returns a Supervisor that has started nothing. It refuses a table with two rows
// of one name.
func New(opts Options) (*Supervisor, error) {
	if opts.Began.IsZero() {
		opts.Began = time.Now()
	}
	s := &Supervisor{
		opts: opts, log: opts.Log, runners: map[string]*runner{}, healthCache: healthCache{since: map[string]statusSince{}, reasons: map[string]map[string]time.Time{}, losses: map[string]*health.CounterLosses{}},
		checking: make(chan struct{}, 1), newInterval: make(chan time.Duration, 1), checkSoon: make(chan struct{}, 1),
	}
	seen := map[string]bool{}
	for _, spec := range opts.Specs {
		if seen[spec.Name] {
			return nil, fmt.Errorf("module %s is listed twice", spec.Name)
		}
		seen[spec.Name] = true
		if spec.Enabled && spec.New != nil {
			s.runners[spec.Name] = newRunner(spec, opts.Log, s.requestCheck)
		}
	}
	return s, nil
}

// Run builds and starts the modules in order and supervises them until ctx ends
// or a signal asks to stop; then it stops them, closes the steps of
// Options.After and logs the final statistics. It returns the first error of a
// constructor at the start (nothing was started then), an error naming what did
// not stop in time, or a *ForcedError if a second signal cut the stop short.
// The steps are closed in every case but the last.
//
//nolint:contextcheck // the modules' contexts outlive ctx: they end in order
func (s *Supervisor) Run(ctx context.Context) error {
	for _, r := range s.inOrder() { // all are built before any is started, so that an error starts none
		if err := r.rebuild(ctx); err != nil {
			s.closeSteps(ctx, time.Now().Add(s.opts.StopTimeout))
			return fmt.Errorf("module %s: %w", r.name, err)
		}
	}
	modules := task.New(context.WithoutCancel(ctx))
	tasks := task.New(modules.Context())
	tasksCtx, stopTasks := context.WithCancel(tasks.Context())
	defer stopTasks()
	for _, r := range s.inOrder() {
		ctx, cancel := context.WithCancel(modules.Context())
		r.mu.Lock()
		r.stop, r.now.inRun = cancel, true
		r.mu.Unlock()
		r.log.Info("module started")
		modules.Go(r.name, func(context.Context) error { r.supervise(ctx); return nil })
	}
	reload := make(chan struct{}, 1) // one waiting request stands for all
	tasks.Go("health", func(context.Context) error {
		s.awaitReady(tasksCtx) // before: a report would only say that modules are starting
		return s.watchHealth(tasksCtx)
	})
	tasks.Go("reload", func(context.Context) error { return s.watchReload(tasksCtx, reload) })

	s.serveSignals(ctx, tasks.Context(), reload)
	stopTasks()
	s.stopping.Store(true)
	return s.stop(ctx, groups{modules: modules, tasks: tasks})
}

// groups are the goroutines of Run: those of the modules, and those of the supervisor itself.
type groups struct{ modules, tasks *task.Group }

// inOrder returns the runners in the order of the table.
func (s *Supervisor) inOrder() []*runner {
	var out []*runner
	for _, spec := range s.opts.Specs {
		if r := s.runners[spec.Name]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// awaitReady waits until every module has started or failed, at most startTimeout, and
// reports that the daemon is ready.
func (s *Supervisor) awaitReady(ctx context.Context) {
	bound, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, r := range s.inOrder() {
		if !r.awaitStart(bound) && ctx.Err() == nil {
			r.log.Warn("module has not started yet")
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.ready.Store(true)
	s.notify(s.opts.Notify.Ready("running"))
	s.log.WithField("start_time", time.Since(s.opts.Began).Round(time.Millisecond)).Info("ready")
	debug.FreeOSMemory() // most of what the start allocated is garbage, and the runtime would keep its pages
}

// Ready reports whether every module was started and the stop has not begun.
func (s *Supervisor) Ready() bool { return s.ready.Load() && !s.stopping.Load() }

func (s *Supervisor) notify(err error) {
	if err != nil {
		s.log.WithError(err).Warn("systemd was not notified")
	}
}
