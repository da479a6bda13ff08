package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	moduleHealthTimeout = time.Second            // for one module's Health
	observeTimeout      = 2 * time.Second        // for Options.Observe
	cacheTime           = 250 * time.Millisecond // how long a result answers further calls of Health, so that many calls cost little
	maxReasons          = 16
	maxReason           = 512 // bytes
)

// healthCache holds the newest health, and since when each module has had its status and its reasons.
type healthCache struct {
	mu      sync.Mutex
	last    event.DaemonHealth
	since   map[string]statusSince
	reasons map[string]map[string]time.Time // by module and key of the reason
	losses  map[string]*health.CounterLosses
}

type statusSince struct {
	status event.Status
	at     time.Time
}

// Health checks every module and returns the sum: the worst status of the enabled
// modules. It returns within a few seconds, whatever the modules do. Calls that come
// together, or within cacheTime, share a check, which goes on if the first caller's
// context ends. If ctx ends while another caller's check hangs, Health returns the last
// result, unhealthy if there is none. It may be called concurrently.
func (s *Supervisor) Health(ctx context.Context) event.DaemonHealth {
	if h, ok := s.healthCache.recent(); ok {
		return h
	}
	return s.oneAtATime(ctx, func() event.DaemonHealth {
		if h, ok := s.healthCache.recent(); ok {
			return h
		}
		return s.checkNow(context.WithoutCancel(ctx))
	})
}

// HealthWithin is Health for a caller that cannot wait: if a check takes longer than d, it returns the last result
// while the check goes on.
func (s *Supervisor) HealthWithin(ctx context.Context, d time.Duration) event.DaemonHealth {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	result := make(chan event.DaemonHealth, 1)
	check := task.New(ctx)
	check.Go("health", func(ctx context.Context) error { result <- s.Health(ctx); return nil })
	select {
	case h := <-result:
		return h
	case <-ctx.Done():
		return s.healthCache.newest()
	}
}

// checkAgain is Health without the cache.
func (s *Supervisor) checkAgain(ctx context.Context) event.DaemonHealth {
	return s.oneAtATime(ctx, func() event.DaemonHealth { return s.checkNow(ctx) })
}

// oneAtATime calls check when no other check is under way, or returns the last result
// if ctx ends before.
func (s *Supervisor) oneAtATime(ctx context.Context, check func() event.DaemonHealth) event.DaemonHealth {
	select {
	case s.checking <- struct{}{}:
	case <-ctx.Done():
		return s.healthCache.newest()
	}
	defer func() { <-s.checking }()
	return check()
}

// newest returns the newest result, however old, and unhealthy if there is none.
func (c *healthCache) newest() event.DaemonHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.Time.IsZero() {
		return event.DaemonHealth{Status: event.Unhealthy}
	}
	return c.last
}

func (c *healthCache) recent() (event.DaemonHealth, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, !c.last.Time.IsZero() && time.Since(c.last.Time) < cacheTime
}

// store adds what the modules do not know and keeps the result.
func (c *healthCache) store(opts Options, modules []event.ModuleHealth) event.DaemonHealth {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for i := range modules {
		m := &modules[i]
		c.addLosses(m, now)
		if known, ok := c.since[m.Name]; !ok || known.status != m.Status {
			c.since[m.Name] = statusSince{status: m.Status, at: now.UTC()}
		}
		m.Since = c.since[m.Name].at
		c.detail(m, now.UTC())
	}
	c.last = event.DaemonHealth{
		Host: opts.Host, Time: now.UTC(), Version: opts.Version, Status: event.Worst(modules),
		UptimeSecs: uint64(max(now.Sub(opts.Began), 0).Seconds()), Durability: opts.Durability, Modules: modules,
	}
	return c.last
}

// addLosses degrades m for what its counters say that it lost lately.
func (c *healthCache) addLosses(m *event.ModuleHealth, now time.Time) {
	if !m.Enabled {
		return
	}
	seen := c.losses[m.Name]
	if seen == nil {
		seen = &health.CounterLosses{}
		c.losses[m.Name] = seen
	}
	if lost := seen.Observe(m.Counters, now); lost != "" {
		worsen(m, event.Degraded, lost)
	}
}

// detail gives each reason of m a detail with its time: that of the module, else when it was first seen here.
func (c *healthCache) detail(m *event.ModuleHealth, now time.Time) {
	known, seen := c.reasons[m.Name], map[string]time.Time{}
	details := make([]event.Reason, len(m.Reasons))
	for i, text := range m.Reasons {
		d := event.Reason{Status: m.Status, Text: text}
		if own := slices.IndexFunc(m.Details, func(d event.Reason) bool { return shortReason(d.Text) == text }); own >= 0 {
			d.Topic, d.Status, d.Since = m.Details[own].Topic, m.Details[own].Status, m.Details[own].Since
		}
		key := reasonKey(d)
		if d.Since.IsZero() {
			d.Since = known[key]
		}
		if d.Since.IsZero() {
			d.Since = now
		}
		seen[key], details[i] = d.Since, d
	}
	m.Details, c.reasons[m.Name] = details, seen
}

// reasonKey returns what stays the same of a reason whose numbers change.
func reasonKey(d event.Reason) string {
	if d.Topic != "" {
		return "topic " + d.Topic
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, d.Text)
}

// checkNow checks all modules at the same time. s.checking is held.
func (s *Supervisor) checkNow(ctx context.Context) event.DaemonHealth {
	modules := make([]event.ModuleHealth, len(s.opts.Specs))
	checks := task.New(ctx)
	for i, spec := range s.opts.Specs {
		checks.Go(spec.Name, func(ctx context.Context) error {
			modules[i] = s.moduleHealth(ctx, spec)
			return nil
		})
	}
	observed := s.observe(ctx)
	if err := checks.Wait(); err != nil {
		s.log.WithError(err).Error("health check failed")
	}
	return s.healthCache.store(s.opts, s.addObserved(modules, observed))
}

// moduleHealth returns the health of one row of the table.
func (s *Supervisor) moduleHealth(ctx context.Context, spec Spec) event.ModuleHealth {
	h := event.ModuleHealth{Name: spec.Name, Host: s.opts.Host, Enabled: spec.Enabled}
	switch {
	case !spec.Enabled:
		h.Reasons = []string{"disabled in the configuration"}
		if spec.StillActive != nil {
			h.Reasons = clampReasons(append(h.Reasons, spec.StillActive()...))
		}
	case spec.New == nil:
		h.Status = event.Degraded
		h.Reasons = []string{"not part of this build"}
	default:
		s.runners[spec.Name].health(ctx, &h)
	}
	return h
}

// health adds what the module reports, and its state where it is not running.
func (r *runner) health(ctx context.Context, h *event.ModuleHealth) {
	now := r.snapshot()
	if now.inRun {
		own := r.callHealth(ctx, now.module)
		h.Status, h.Reasons, h.Details, h.Counters = own.Status, own.Reasons, own.Details, own.Counters
	}
	switch {
	case now.state == failed:
		worsen(h, event.Unhealthy, "failed: "+now.failure)
	case now.state != running:
		worsen(h, event.Degraded, string(now.state))
	}
	if now.inRun && now.failure != "" && time.Since(now.failedAt) < backoffReset {
		worsen(h, event.Degraded, "restarted after a failure: "+now.failure)
	}
	h.Reasons = clampReasons(h.Reasons)
}

// callHealth calls the module's Health. One that panics or does not return in time is
// unhealthy; while a call hangs, no further one is made.
func (r *runner) callHealth(ctx context.Context, m Module) event.ModuleHealth {
	select {
	case r.checking <- struct{}{}:
	default:
		return event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{"its health check hangs"}}
	}
	result := make(chan event.ModuleHealth, 1)
	check := task.New(ctx)
	check.Go(r.name+" health", func(ctx context.Context) error {
		var h event.ModuleHealth
		err := task.Call(ctx, r.name+" health", func(context.Context) error { h = m.Health(); return nil })
		if err != nil {
			h = event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{err.Error()}}
		}
		<-r.checking // before the result: its receiver may call again
		result <- h
		return nil
	})
	late := time.NewTimer(moduleHealthTimeout)
	defer late.Stop()
	select {
	case h := <-result:
		return h
	case <-late.C:
		return event.ModuleHealth{Status: event.Unhealthy, Reasons: []string{"its health check did not answer within " + moduleHealthTimeout.String()}}
	}
}

// worsen makes h at least as bad as status and adds the reasons it does not have.
func worsen(h *event.ModuleHealth, status event.Status, reasons ...string) {
	h.Status = max(h.Status, status)
	for _, reason := range reasons {
		if !slices.Contains(h.Reasons, reason) {
			h.Reasons = append(h.Reasons, reason)
			h.Details = append(h.Details, event.Reason{Status: status, Text: reason})
		}
	}
}

func (s *Supervisor) observe(ctx context.Context) map[string][]string {
	if s.opts.Observe == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
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
			worsen(m, event.Degraded, reasons...)
			m.Reasons = clampReasons(m.Reasons)
		}
		delete(observed, m.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(observed)) {
		m := event.ModuleHealth{Name: name, Host: s.opts.Host, Enabled: true}
		if reasons := observed[name]; len(reasons) > 0 {
			worsen(&m, event.Degraded, clampReasons(reasons)...)
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
		out[i] = shortReason(reason)
	}
	return out
}

func shortReason(reason string) string { return event.Shorten(reason, maxReason) }
