package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/task"
)

// errEnded is the error of a module that returned nil without being asked to stop.
var errEnded = errors.New("ended without being asked to stop")

// errReplaced is the cause that cancels a run whose module gets a new configuration.
var errReplaced = errors.New("replaced by a new configuration")

// runner keeps one enabled module running. Its methods may be called concurrently,
// but for supervise and what it calls.
type runner struct {
	name     string
	log      logrus.FieldLogger
	onFail   func()        // called after each failure
	done     chan struct{} // closed when supervise has returned
	stopErr  error         // of the run that stop ended; written before done is closed
	firstRun chan struct{} // closed when the first run has ended
	retryNow chan struct{} // ends the wait for a restart; holds one request, more mean the same
	checking chan struct{} // held while the module's Health is being called

	mu        sync.Mutex
	now       snapshot
	config    config
	stop      context.CancelFunc      // ends supervise
	cancelRun context.CancelCauseFunc // ends the current run; nil between runs
}

// config is the constructor in force, and whether the current instance has its configuration.
type config struct {
	build   Build
	version int // counts the changes of build
	current int // version that the current instance has
}

func newRunner(spec Spec, log logrus.FieldLogger, onFail func()) *runner {
	return &runner{
		name: spec.Name, log: log.WithField("module", spec.Name), onFail: onFail,
		done: make(chan struct{}), firstRun: make(chan struct{}), retryNow: make(chan struct{}, 1), checking: make(chan struct{}, 1),
		now: snapshot{state: starting}, config: config{build: spec.New},
	}
}

// snapshot returns the state now. A starting module that says it works is running from then on.
func (r *runner) snapshot() snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now.state == starting && r.now.inRun && r.now.started() {
		r.now.state = running
	}
	return r.now
}

// rebuild makes a new instance the current one. A panic of the constructor is its error.
func (r *runner) rebuild(ctx context.Context) error {
	r.mu.Lock()
	config := r.config
	r.mu.Unlock()
	m, err := safeBuild(ctx, r.name, config.build)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.module = m
	r.now.builds++
	r.config.current = config.version
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

// awaitStart waits until the first instance works. It returns true also if its run has
// ended, which was logged, and false if ctx ended before either.
func (r *runner) awaitStart(ctx context.Context) bool {
	starter, ok := r.snapshot().module.(Starter)
	if !ok {
		return true
	}
	select {
	case <-starter.Started():
		return true
	case <-r.firstRun:
		return true
	case <-ctx.Done():
		return false
	}
}

// supervise runs the module, and again after each failure, until ctx ends.
func (r *runner) supervise(ctx context.Context) {
	defer close(r.done)
	defer r.setState(stopped)
	firstRunEnded := sync.OnceFunc(func() { close(r.firstRun) })
	failures := 0
	for {
		began := time.Now()
		err := r.run(ctx)
		firstRunEnded()
		if ctx.Err() != nil {
			r.stopErr = err
			return
		}
		for err != nil {
			if time.Since(began) >= backoffReset {
				failures = 0
			}
			pause := backoff.Delay(failures, minBackoff, maxBackoff)
			failures++
			r.fail(err, pause)
			if !r.sleep(ctx, pause) {
				return
			}
			began = time.Now()
			err = r.rebuild(ctx)
		}
	}
}

// run runs the current instance once. It returns nil only if the next instance is
// built already or ctx has ended.
func (r *runner) run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	r.mu.Lock()
	module := r.now.module
	r.now.inRun, r.cancelRun = true, cancel
	r.enter(starting)
	if r.config.current != r.config.version { // a new configuration came while it was built
		cancel(errReplaced)
	}
	r.mu.Unlock()

	err := task.Call(ctx, r.name, module.Run)

	r.mu.Lock()
	r.now.inRun, r.cancelRun = false, nil
	r.enter(starting)
	r.mu.Unlock()
	switch {
	case parent.Err() != nil:
		return err
	case !errors.Is(context.Cause(ctx), errReplaced):
		if err == nil {
			err = errEnded
		}
		return err
	}
	if err != nil {
		r.log.WithError(err).Warn("module ended with an error while being replaced")
	}
	if err := r.rebuild(parent); err != nil {
		return err
	}
	r.log.Info("module restarted with its new configuration")
	return nil
}

// enter changes the state, unless the module was asked to stop. r.mu is held.
func (r *runner) enter(next state) {
	if r.now.state != stopping || next == stopped {
		r.now.state = next
	}
}

func (r *runner) setState(next state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter(next)
}

// fail records why a run or a build failed. The next attempt comes after pause.
func (r *runner) fail(err error, pause time.Duration) {
	r.mu.Lock()
	r.enter(failed)
	r.now.failure, r.now.failedAt = err.Error(), time.Now()
	r.mu.Unlock()
	log := r.log.WithError(err).WithField("restart_in", pause.Round(time.Millisecond))
	if p, ok := errors.AsType[*task.PanicError](err); ok {
		log = log.WithField("stack", string(p.Stack))
	}
	log.Error("module failed")
	r.onFail()
}

// sleep waits for d, less if a new configuration comes, and counts a restart. It
// returns false if ctx ended.
func (r *runner) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-r.retryNow:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.restarts++
	return true
}

// replace puts a constructor in force: the running instance is stopped and a new
// one built; one that waits for its restart gets it now.
func (r *runner) replace(build Build) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config.build = build
	r.config.version++
	if r.cancelRun != nil {
		r.cancelRun(errReplaced)
		return
	}
	select {
	case r.retryNow <- struct{}{}:
	default:
	}
}

// reconfigured records that the instance number builds has the configuration that build
// stands for. It returns false if that instance is no longer the current one.
func (r *runner) reconfigured(builds int, build Build) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now.builds != builds {
		return false
	}
	r.config.build = build
	r.config.version++
	r.config.current = r.config.version
	return true
}
