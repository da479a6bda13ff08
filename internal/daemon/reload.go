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

// reloadCounts counts the reloads since the start. refusal is why the last one was refused, nil if it was not.
type reloadCounts struct {
	done, refused atomic.Uint64
	refusal       atomic.Pointer[string]
}

// RefusedReload returns why the last reload was refused, and when, as a reason for health; "" if it was not. It may be called
// concurrently with Run.
func (s *Supervisor) RefusedReload() string {
	if refusal := s.reloads.refusal.Load(); refusal != nil {
		return *refusal
	}
	return ""
}

// refusalReason says that the reload at now was refused, and the first of its problems.
func refusalReason(now time.Time, problems []error) string {
	more := ""
	if n := len(problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more, see the log)", n)
	}
	return fmt.Sprintf("reload refused at %s, what was in force before stays: %v%s", now.UTC().Format(time.RFC3339), problems[0], more)
}

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
		problems := flatten(err)
		reason := refusalReason(time.Now(), problems)
		s.reloads.refusal.Store(&reason)
		s.requestCheck()
		for _, problem := range problems {
			s.log.WithError(problem).Error("configuration problem")
		}
		s.log.WithField("problems", len(problems)).Error("configuration not reloaded, the last good one stays in force")
		return
	}
	for _, commit := range commits {
		commit()
	}
	s.reloads.done.Add(1)
	s.reloads.refusal.Store(nil)
	for _, c := range changes {
		log := s.log.WithFields(logrus.Fields{"key": c.Key, "old": c.Old, "new": c.New})
		if c.Restart {
			log.Warn("configuration changed, used after a restart")
		} else {
			log.Info("configuration changed")
		}
	}
	s.log.WithField("changes", len(changes)).Info("configuration reloaded")
	s.requestCheck()
}

// prepare is the first phase: it changes nothing, and returns the errors of all modules.
func (s *Supervisor) prepare(ctx context.Context) (changes []Change, commits []func(), err error) {
	if s.opts.Reload == nil {
		return nil, nil, errors.New("this program cannot reload its configuration: restart it")
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	var plan Plan
	if err := task.Call(ctx, "reload", func(ctx context.Context) (err error) {
		plan, err = s.opts.Reload(ctx)
		return err
	}); err != nil {
		return nil, nil, err
	}
	for _, p := range plan.Modules {
		r := s.runners[p.Name]
		if r == nil {
			continue
		}
		commit, failed := r.prepare(ctx, p)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("module %s: %w", p.Name, failed))
			continue
		}
		commits = append(commits, commit)
	}
	if plan.Commit != nil {
		commits = append(commits, plan.Commit)
	}
	return plan.Changes, commits, err
}

// prepare returns what applies plan to the module. A Reloader that runs prepares the
// change itself; for any other module the constructor is tried.
func (r *runner) prepare(ctx context.Context, plan ModulePlan) (func(), error) {
	now := r.snapshot()
	if reloader, ok := now.module.(Reloader); ok && now.inRun && !plan.Rebuild {
		var commit func()
		if err := task.Call(ctx, plan.Name, func(ctx context.Context) (err error) {
			commit, err = reloader.PrepareReload(ctx, plan.Config)
			return err
		}); err != nil {
			return nil, err
		}
		if commit != nil {
			return func() {
				if r.reconfigured(now.builds, plan.New) {
					commit()
				} else { // the instance has failed since; the next one may have the old configuration
					r.replace(plan.New)
				}
			}, nil
		}
	}
	if _, err := safeBuild(ctx, plan.Name, plan.New); err != nil {
		return nil, err
	}
	return func() { r.replace(plan.New) }, nil
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
