package daemon

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	answerWithin = time.Second            // for one module's Health
	observeTime  = 2 * time.Second        // for Options.Observe
	fresh        = 250 * time.Millisecond // a health this young answers again, so that asking costs little
	maxReasons   = 16
	maxReason    = 512 // bytes
)

// board is the newest health and since when each module has had its status.
type board struct {
	mu    sync.Mutex
	last  event.DaemonHealth
	since map[string]sinceStatus
}

type sinceStatus struct {
	status event.Status
	at     time.Time
}

// Health asks every module how it is and returns the sum: the worst status of
// the enabled modules. It returns within a few seconds, whatever the modules do,
// and answers from memory if it was asked a moment ago: who come at the same time
// share an answer, which does not depend on whether the first of them stays. If ctx
// ends while another's check hangs it returns the last health, unhealthy if there is none.
func (s *Supervisor) Health(ctx context.Context) event.DaemonHealth {
	if h, ok := s.board.recent(); ok {
		return h
	}
	return s.alone(ctx, func() event.DaemonHealth {
		if h, ok := s.board.recent(); ok {
			return h
		}
		return s.checkNow(context.WithoutCancel(ctx))
	})
}

// checkAgain is Health that never answers from memory.
func (s *Supervisor) checkAgain(ctx context.Context) event.DaemonHealth {
	return s.alone(ctx, func() event.DaemonHealth { return s.checkNow(ctx) })
}

// alone calls check when no other check is under way, or returns the last health if
// ctx ends before.
func (s *Supervisor) alone(ctx context.Context, check func() event.DaemonHealth) event.DaemonHealth {
	select {
	case s.checking <- struct{}{}:
	case <-ctx.Done():
		return s.board.known()
	}
	defer func() { <-s.checking }()
	return check()
}

// known returns the newest health, however old; what was never looked at is not healthy.
func (b *board) known() event.DaemonHealth {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.Time.IsZero() {
		return event.DaemonHealth{Status: event.Unhealthy}
	}
	return b.last
}

func (b *board) recent() (event.DaemonHealth, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last, !b.last.Time.IsZero() && time.Since(b.last.Time) < fresh
}

// checkNow asks all modules at the same time. s.checking is held.
func (s *Supervisor) checkNow(ctx context.Context) event.DaemonHealth {
	modules := make([]event.ModuleHealth, len(s.opts.Specs))
	asking := task.New(ctx)
	for i, spec := range s.opts.Specs {
		asking.Go(spec.Name, func(ctx context.Context) error {
			modules[i] = s.moduleHealth(ctx, spec)
			return nil
		})
	}
	observed := s.observe(ctx)
	if err := asking.Wait(); err != nil {
		s.log.WithError(err).Error("health check failed")
	}
	modules = s.addObserved(modules, observed)
	return s.board.store(s.opts, modules)
}

// store fills in what the modules do not know and keeps the result.
func (b *board) store(opts Options, modules []event.ModuleHealth) event.DaemonHealth {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.since == nil {
		b.since = map[string]sinceStatus{}
	}
	for i := range modules {
		modules[i].Since = b.statusSince(&modules[i], now)
	}
	b.last = event.DaemonHealth{
		Host: opts.Host, Time: now.UTC(), Version: opts.Version, Status: event.Worst(modules),
		UptimeSecs: uint64(max(now.Sub(opts.Began), 0).Seconds()), Modules: modules,
	}
	return b.last
}

func (b *board) statusSince(m *event.ModuleHealth, now time.Time) time.Time {
	known, ok := b.since[m.Name]
	if !ok || known.status != m.Status {
		known = sinceStatus{status: m.Status, at: now.UTC()}
		b.since[m.Name] = known
	}
	return known.at
}

// moduleHealth returns the health of one line of the table.
func (s *Supervisor) moduleHealth(ctx context.Context, spec Spec) event.ModuleHealth {
	h := event.ModuleHealth{Name: spec.Name, Host: s.opts.Host, Enabled: spec.Enabled}
	switch {
	case !spec.Enabled:
		h.Reasons = []string{"disabled in the configuration"}
		if spec.Left != nil {
			h.Reasons = clampReasons(append(h.Reasons, spec.Left()...))
		}
	case spec.New == nil:
		h.Status = event.Degraded
		h.Reasons = []string{"not part of this build"}
	default:
		s.runners[spec.Name].health(ctx, &h)
	}
	return h
}

// health fills in what the module says, and what its supervisor knows better.
func (r *runner) health(ctx context.Context, h *event.ModuleHealth) {
	state := r.snapshot()
	switch {
	case state.running:
		own := r.ask(ctx, state.module)
		h.Status, h.Reasons, h.Counters = own.Status, own.Reasons, own.Counters
	case state.failure != "":
		blame(h, event.Unhealthy, "failed: "+state.failure)
	default:
		blame(h, event.Degraded, "not running")
	}
	if state.running && state.failure != "" && time.Since(state.failedAt) < calm {
		blame(h, event.Degraded, fmt.Sprintf("restarted after a failure: %s", state.failure))
	}
	h.Reasons = clampReasons(h.Reasons)
}

// ask calls the module's Health. One that panics or does not answer in time is
// unhealthy; one that still has not is not asked again. Checks come one after the other.
func (r *runner) ask(ctx context.Context, m Module) event.ModuleHealth {
	select {
	case r.asking <- struct{}{}:
	default:
		return event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{"its health check hangs"}}
	}
	answer := make(chan event.ModuleHealth, 1)
	asking := task.New(ctx)
	asking.Go(r.name+" health", func(ctx context.Context) error {
		var h event.ModuleHealth
		err := task.Call(ctx, r.name+" health", func(context.Context) error { h = m.Health(); return nil })
		if err != nil {
			h = event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{err.Error()}}
		}
		<-r.asking // before the answer: whoever gets it may ask again
		answer <- h
		return nil
	})
	late := time.NewTimer(answerWithin)
	defer late.Stop()
	select {
	case h := <-answer:
		return h
	case <-late.C:
		return event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{"its health check did not answer within " + answerWithin.String()}}
	}
}

// blame makes h at least as bad as status, for a reason.
func blame(h *event.ModuleHealth, status event.Status, reasons ...string) {
	h.Status = max(h.Status, status)
	h.Reasons = append(h.Reasons, reasons...)
}

func (s *Supervisor) observe(ctx context.Context) map[string][]string {
	if s.opts.Observe == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, observeTime)
	defer cancel()
	var reasons map[string][]string
	err := task.Call(ctx, "observe", func(ctx context.Context) error {
		reasons = maps.Clone(s.opts.Observe(ctx))
		return nil
	})
	if err != nil {
		s.log.WithError(err).Error("health check failed")
	}
	return reasons
}

// addObserved degrades the modules named, and adds those that are in no table.
func (s *Supervisor) addObserved(modules []event.ModuleHealth, observed map[string][]string) []event.ModuleHealth {
	for i := range modules {
		m := &modules[i]
		if reasons := observed[m.Name]; len(reasons) > 0 && m.Enabled {
			blame(m, event.Degraded, reasons...)
			m.Reasons = clampReasons(m.Reasons)
		}
		delete(observed, m.Name)
	}
	for _, name := range sortedKeys(observed) {
		m := event.ModuleHealth{Name: name, Host: s.opts.Host, Enabled: true}
		if reasons := observed[name]; len(reasons) > 0 {
			blame(&m, event.Degraded, clampReasons(reasons)...)
		}
		modules = append(modules, m)
	}
	return modules
}

// clampReasons bounds what a hostile name in an error can grow to.
func clampReasons(reasons []string) []string {
	if len(reasons) > maxReasons {
		reasons = reasons[:maxReasons]
	}
	out := make([]string, len(reasons))
	for i, reason := range reasons {
		out[i] = event.Shorten(reason, maxReason)
	}
	return out
}
