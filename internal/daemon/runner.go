package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

// errEnded is the error of a module that returned nil without being asked to stop.
var errEnded = errors.New("it ended without being asked to")

// errReplaced ends a run whose module got a new configuration.
var errReplaced = errors.New("replaced by a new configuration")

// runner keeps one enabled module running.
type runner struct {
	name string
	log  logrus.FieldLogger
	done chan struct{} // closed when live returned

	cancel context.CancelFunc // ends live
	wake   chan struct{}      // ends a wait for the next restart; holds one, more say the same
	asking chan struct{}      // held while the module's Health is being called
	onFail func()             // called after each failure

	mu        sync.Mutex
	state     state
	build     Build
	orders    int // how often build was set anew
	built     int // orders that the current instance heeds
	stopErr   error
	cancelRun context.CancelCauseFunc // ends the current run; nil between runs
}

// state is what a runner knows of its module at one moment.
type state struct {
	module   Module // the newest instance; nil until built
	builds   int    // how many there were
	running  bool
	failure  string // why the last run or build failed
	failedAt time.Time
	restarts uint64
}

func newRunner(spec Spec, log logrus.FieldLogger, onFail func()) *runner {
	return &runner{
		name: spec.Name, build: spec.New, log: log.WithField("module", spec.Name), onFail: onFail,
		done: make(chan struct{}), wake: make(chan struct{}, 1), asking: make(chan struct{}, 1),
	}
}

func (r *runner) snapshot() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// rebuild makes a new instance the current one. A panic of the constructor is its error.
func (r *runner) rebuild(ctx context.Context) error {
	r.mu.Lock()
	build, orders := r.build, r.orders
	r.mu.Unlock()
	m, err := safeBuild(ctx, r.name, build)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.module = m
	r.state.builds++
	r.built = orders
	return nil
}

func safeBuild(ctx context.Context, name string, build Build) (m Module, err error) {
	err = task.Call(ctx, name, func(ctx context.Context) error {
		var err error
		m, err = build(ctx)
		return err
	})
	if err == nil && m == nil {
		err = errors.New("its constructor returned no module")
	}
	return m, err
}

// starts notes that live is about to be called, and what ends it.
func (r *runner) starts(cancel context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel = cancel
	r.state.running = true
}

// started waits until the instance of the start works, and returns false if ctx ended first.
func (r *runner) started(ctx context.Context) bool {
	starter, ok := r.snapshot().module.(Starter)
	if !ok {
		return true
	}
	select {
	case <-starter.Started():
		return true
	case <-ctx.Done():
		return false
	}
}

// live runs the module, and again after each failure, until ctx ends.
func (r *runner) live(ctx context.Context) {
	defer close(r.done)
	var wait backoff
	for {
		began := time.Now()
		err := r.run(ctx)
		if ctx.Err() != nil {
			r.stopped(err)
			return
		}
		for err != nil {
			pause := wait.next(time.Since(began))
			r.failed(err, pause)
			if !r.sleep(ctx, pause) {
				return
			}
			r.countRestart()
			began = time.Now()
			err = r.rebuild(ctx)
		}
	}
}

// run runs the current instance once. It returns nil only if the next instance
// is already there or ctx has ended.
func (r *runner) run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	module := r.begin(cancel)
	err := task.Call(ctx, r.name, module.Run)
	r.end()
	switch {
	case parent.Err() != nil:
		return err
	case errors.Is(context.Cause(ctx), errReplaced):
		return r.replaced(parent, err)
	case err == nil:
		return errEnded
	}
	return err
}

// begin notes that the current instance runs. One that was built while a new
// configuration came is told to end at once.
func (r *runner) begin(cancel context.CancelCauseFunc) Module {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelRun = cancel
	r.state.running = true
	if r.built != r.orders {
		cancel(errReplaced)
	}
	return r.state.module
}

func (r *runner) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.running = false
	r.cancelRun = nil
}

// replaced builds the instance of the new configuration after the old one ended with err.
func (r *runner) replaced(ctx context.Context, err error) error {
	if err != nil {
		r.log.WithError(err).Warn("module ended with an error while being replaced")
	}
	if err := r.rebuild(ctx); err != nil {
		return err
	}
	r.log.Info("module restarted with its new configuration")
	return nil
}

func (r *runner) failed(err error, pause time.Duration) {
	r.mu.Lock()
	r.state.failure = err.Error()
	r.state.failedAt = time.Now()
	r.mu.Unlock()

	log := r.log.WithError(err).WithField("restart_in", pause.Round(time.Millisecond))
	if p, ok := errors.AsType[*task.PanicError](err); ok {
		log = log.WithField("stack", string(p.Stack))
	}
	log.Error("module failed")
	r.onFail()
}

func (r *runner) stopped(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopErr = err
}

func (r *runner) countRestart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.restarts++
}

// sleep waits for d, less if a new configuration comes, and returns false if ctx ended.
func (r *runner) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-r.wake:
	}
	return true
}

// replace puts a constructor in force: the running instance is stopped and a new
// one built; one that waits for its restart gets it now.
func (r *runner) replace(build Build) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.build = build
	r.orders++
	if r.cancelRun != nil {
		r.cancelRun(errReplaced)
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// heed notes that the running instance was given what build stands for. It returns
// false if another instance has taken its place since there were builds of them.
func (r *runner) heed(builds int, build Build) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.builds != builds {
		return false
	}
	r.build = build
	r.orders++
	r.built = r.orders
	return true
}
