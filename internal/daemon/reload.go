package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

// reloadTimeout bounds the first phase of a reload.
const reloadTimeout = 10 * time.Second

// reloadCounts counts the reloads since the start.
type reloadCounts struct{ done, refused atomic.Uint64 }

func (s *Supervisor) watchReload(ctx context.Context, requests <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-requests:
			s.reload(ctx)
		}
	}
}

// reload reads the configuration and applies it everywhere, or nowhere.
func (s *Supervisor) reload(ctx context.Context) {
	s.notify(s.opts.Notify.Reloading())
	defer func() { s.notify(s.opts.Notify.Ready("running")) }()
	changes, commits, err := s.prepare(ctx)
	if err != nil {
		s.reloads.refused.Add(1)
		s.logRefusal(err)
		return
	}
	for _, commit := range commits {
		commit()
	}
	s.reloads.done.Add(1)
	s.logChanges(changes)
	s.requestCheck()
}

// prepare is the first phase: it changes nothing, and returns the errors of all modules.
func (s *Supervisor) prepare(ctx context.Context) ([]Change, []func(), error) {
	if s.opts.Reload == nil {
		return nil, nil, errors.New("this program cannot reload its configuration: restart it")
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	var plan Plan
	err := task.Call(ctx, "reload", func(ctx context.Context) (err error) {
		plan, err = s.opts.Reload(ctx)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	commits, err := s.prepareModules(ctx, plan.Modules)
	if plan.Commit != nil {
		commits = append(commits, plan.Commit)
	}
	return plan.Changes, commits, err
}

func (s *Supervisor) prepareModules(ctx context.Context, plans []ModulePlan) ([]func(), error) {
	var commits []func()
	var errs []error
	for _, plan := range plans {
		r := s.runners[plan.Name]
		if r == nil {
			continue
		}
		commit, err := r.prepare(ctx, plan)
		if err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", plan.Name, err))
			continue
		}
		commits = append(commits, commit)
	}
	return commits, errors.Join(errs...)
}

// prepare returns what applies plan to the module. A Reloader that runs prepares the
// change itself; for any other module the constructor is tried.
func (r *runner) prepare(ctx context.Context, plan ModulePlan) (func(), error) {
	now := r.snapshot()
	if reloader, ok := now.module.(Reloader); ok && now.inRun && !plan.Rebuild {
		commit, err := safePrepare(ctx, reloader, plan)
		if err != nil {
			return nil, err
		}
		if commit != nil {
			return func() { r.commit(now.builds, plan.New, commit) }, nil
		}
	}
	if _, err := safeBuild(ctx, plan.Name, plan.New); err != nil {
		return nil, err
	}
	return func() { r.replace(plan.New) }, nil
}

func safePrepare(ctx context.Context, m Reloader, plan ModulePlan) (commit func(), err error) {
	err = task.Call(ctx, plan.Name, func(ctx context.Context) (err error) {
		commit, err = m.PrepareReload(ctx, plan.Config)
		return err
	})
	return commit, err
}

// commit applies the change to the instance that prepared it; if that one has failed
// since, the next one may have the old configuration and is replaced.
func (r *runner) commit(builds int, build Build, commit func()) {
	if !r.reconfigured(builds, build) {
		r.replace(build)
		return
	}
	commit()
}

func (s *Supervisor) logChanges(changes []Change) {
	for _, c := range changes {
		log := s.log.WithFields(logrus.Fields{"key": c.Key, "old": c.Old, "new": c.New})
		if c.Restart {
			log.Warn("configuration changed, used after a restart")
			continue
		}
		log.Info("configuration changed")
	}
	s.log.WithField("changes", len(changes)).Info("configuration reloaded")
}

// logRefusal logs each problem on a line of its own.
func (s *Supervisor) logRefusal(err error) {
	problems := flatten(err)
	for _, problem := range problems {
		s.log.WithError(problem).Error("configuration problem")
	}
	s.log.WithField("problems", len(problems)).Error("configuration not reloaded, the last good one stays in force")
}

// flatten returns the errors that were joined into err.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
