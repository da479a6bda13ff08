package daemon

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/sdnotify"
	"github.com/ironpost/ironpost/internal/task"
)

// Options are what a Supervisor needs. Host, Specs, StopOrder, StopTimeout,
// HealthInterval, Signals and Log must be set.
type Options struct {
	Host    string
	Version string
	Began   time.Time // start of the process; now if zero

	Specs     []Spec   // in start order
	StopOrder []string // every name of Specs, producers before their consumers
	After     []Step   // closed in this order once the modules have stopped

	StopTimeout    time.Duration // of the whole stop
	HealthInterval time.Duration
	Signals        <-chan os.Signal // SIGTERM and SIGINT stop, SIGHUP reloads
	Log            logrus.FieldLogger
	Notify         *sdnotify.Notifier // nil: no systemd

	// Observe returns what somebody else saw wrong with a module, by name; a name
	// that is in no Spec, such as "bus", becomes a line of its own. Optional.
	Observe func(ctx context.Context) map[string][]string
	// Publish tells the world each periodic health. Optional.
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
	board   board
	reloads reloadCounts

	checking chan struct{}      // held while the modules are asked how they are
	interval chan time.Duration // a new health interval; holds one, the newest
	check    chan struct{}      // asks for a health check out of turn; holds one
	ready    atomic.Bool
	stopping atomic.Bool
}

// New returns a Supervisor that has started nothing. It refuses a table with a
// doubled name and a stop order that is not a permutation of it.
func New(opts Options) (*Supervisor, error) {
	if err := checkTable(opts.Specs, opts.StopOrder); err != nil {
		return nil, err
	}
	if opts.Began.IsZero() {
		opts.Began = time.Now()
	}
	s := &Supervisor{
		opts: opts, log: opts.Log, runners: map[string]*runner{},
		checking: make(chan struct{}, 1), interval: make(chan time.Duration, 1), check: make(chan struct{}, 1),
	}
	for _, spec := range opts.Specs {
		if spec.Enabled && spec.New != nil {
			s.runners[spec.Name] = newRunner(spec, opts.Log, s.checkSoon)
		}
	}
	return s, nil
}

func checkTable(specs []Spec, stopOrder []string) error {
	var names []string
	for _, spec := range specs {
		if slices.Contains(names, spec.Name) {
			return fmt.Errorf("module %s stands twice in the table", spec.Name)
		}
		names = append(names, spec.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, slices.Sorted(slices.Values(stopOrder))) {
		return fmt.Errorf("the stop order %v does not name each module of %v once", stopOrder, names)
	}
	return nil
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
	if err := s.buildAll(ctx); err != nil {
		s.closeSteps(ctx, time.Now().Add(s.opts.StopTimeout))
		return err
	}
	life := task.New(context.WithoutCancel(ctx))
	aux := task.New(life.Context())
	auxCtx, stopAux := context.WithCancel(aux.Context())
	defer stopAux()
	s.startAll(life)
	reload := make(chan struct{}, 1) // one waiting request stands for all
	aux.Go("health", func(context.Context) error { return s.watchHealth(auxCtx) })
	aux.Go("reload", func(context.Context) error { return s.watchReload(auxCtx, reload) })
	aux.Go("ready", func(context.Context) error { s.announceReady(auxCtx); return nil })

	s.loop(ctx, aux.Context(), reload)
	stopAux()
	s.stopping.Store(true)
	return s.stop(ctx, groups{life: life, aux: aux})
}

// groups are the goroutines of a run: of the modules, and of the supervisor itself.
type groups struct{ life, aux *task.Group }

// buildAll builds every module before any is started, so that an error starts none.
func (s *Supervisor) buildAll(ctx context.Context) error {
	for _, spec := range s.opts.Specs {
		r := s.runners[spec.Name]
		if r == nil {
			continue
		}
		if err := r.rebuild(ctx); err != nil {
			return fmt.Errorf("module %s: %w", spec.Name, err)
		}
	}
	return nil
}

func (s *Supervisor) startAll(life *task.Group) {
	for _, spec := range s.opts.Specs {
		if r := s.runners[spec.Name]; r != nil {
			ctx, cancel := context.WithCancel(life.Context())
			r.starts(cancel)
			r.log.Info("module started")
			life.Go(spec.Name, func(context.Context) error { r.live(ctx); return nil })
		}
	}
}

// announceReady waits until every module that says when it works does, for a bounded time.
func (s *Supervisor) announceReady(ctx context.Context) {
	bound, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, spec := range s.opts.Specs {
		if r := s.runners[spec.Name]; r != nil && !r.started(bound) && ctx.Err() == nil {
			r.log.Warn("module has not started yet")
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.ready.Store(true)
	s.notify(s.opts.Notify.Ready("running"))
	s.log.WithField("start_time", time.Since(s.opts.Began).Round(time.Millisecond)).Info("ready")
}

// Ready tells whether every module was started and the stop has not begun.
func (s *Supervisor) Ready() bool { return s.ready.Load() && !s.stopping.Load() }

func (s *Supervisor) notify(err error) {
	if err != nil {
		s.log.WithError(err).Warn("systemd was not notified")
	}
}
