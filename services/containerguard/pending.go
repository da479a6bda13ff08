package containerguard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/folder"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	maxPending       = 1024 // alerts; beyond it one is skipped, with a reason
	retryInterval    = 100 * time.Millisecond
	retryConcurrency = 32
)

// pendingAlerts is where alerts wait whose container cannot be found while Docker is away:
// a file for each, so that they outlive the guard. Its methods may be called
// concurrently.
type pendingAlerts struct {
	folder *folder.Folder

	mu     sync.Mutex
	alerts map[string]*event.Alert // by file name
}

// openPendingAlerts reads the alerts that wait. A file that is no alert is removed.
func openPendingAlerts(dataDir string) (*pendingAlerts, error) {
	f, err := folder.Open(filepath.Join(dataDir, "waiting"))
	if err != nil {
		return nil, fmt.Errorf("folder of waiting alerts: %w", err)
	}
	r := &pendingAlerts{folder: f, alerts: map[string]*event.Alert{}}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("folder of waiting alerts: %w", errors.Join(err, f.Close()))
	}
	return r, nil
}

func (r *pendingAlerts) load() error {
	names, err := r.folder.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		a := &event.Alert{}
		data, err := r.folder.Read(name, event.MaxSize)
		if err == nil && strings.HasSuffix(name, ".json") && event.Decode(data, a) == nil {
			r.alerts[name] = a
			continue
		}
		if err := r.folder.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

var errTooManyPending = fmt.Errorf("%d alerts wait for Docker already", maxPending)

// put keeps an alert, once.
func (r *pendingAlerts) put(a *event.Alert, data []byte) error {
	name := idOf(a.ID) + ".json"
	r.mu.Lock()
	_, there := r.alerts[name]
	full := len(r.alerts) >= maxPending
	if !there && !full {
		r.alerts[name] = a
	}
	r.mu.Unlock()
	switch {
	case there:
		return nil
	case full:
		return errTooManyPending
	}
	if err := r.folder.Write(name, data); err != nil {
		r.forget(name)
		return fmt.Errorf("keep alert until Docker is back: %w", err)
	}
	return nil
}

// leave removes an alert that was answered.
func (r *pendingAlerts) leave(a *event.Alert) error {
	name := idOf(a.ID) + ".json"
	r.forget(name)
	return r.folder.Remove(name)
}

func (r *pendingAlerts) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.alerts, name)
}

func (r *pendingAlerts) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.alerts)
}

func (r *pendingAlerts) all() []*event.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*event.Alert, 0, len(r.alerts))
	for _, a := range r.alerts {
		out = append(out, a)
	}
	return out
}

// addPending puts an alert into the room. If that cannot be, its actions are skipped.
func (s *Service) addPending(ctx context.Context, a *event.Alert, data []byte) error {
	p := s.run.Load()
	err := p.waiting.put(a, data)
	if err == nil {
		return nil
	}
	s.health.say(aboutWaiting, err.Error())
	return s.skipPending(ctx, a, err.Error())
}

// retryPendingLoop answers alerts that wait: all of them once Docker is back, and each that has
// become too old.
func (s *Service) retryPendingLoop(ctx context.Context) error {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.retryPending(ctx, time.Now())
		}
	}
}

func (s *Service) retryPending(ctx context.Context, now time.Time) {
	p := s.run.Load()
	if p.waiting.len() == 0 {
		return
	}
	s.health.say(aboutWaiting, "")
	back := p.inventory.StaleReason() == ""
	g := task.New(ctx)
	places := make(chan struct{}, retryConcurrency)
	for _, a := range p.waiting.all() {
		late := safety.Deadline(a, s.config().maxAge()).Before(now)
		if !back && !late {
			continue
		}
		places <- struct{}{}
		g.Go("waiting alert", func(ctx context.Context) error {
			defer func() { <-places }()
			s.retryAlert(ctx, a)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		s.log.WithError(err).Error("waiting alert not answered")
	}
}

func (s *Service) retryAlert(ctx context.Context, a *event.Alert) {
	waits, err := s.respond(ctx, a, true)
	if err != nil || waits { // Docker went again, or the bus is away: the next look tries again
		return
	}
	if err := s.run.Load().waiting.leave(a); err != nil {
		s.log.WithError(err).Warn("answered alert not removed from those that wait")
	}
}

// skipPending skips what needs a container.
func (s *Service) skipPending(ctx context.Context, a *event.Alert, reason string) error {
	p := s.run.Load()
	now := time.Now()
	j := s.newEvaluator(p, now)
	j.again = true
	t := &response{s: s, p: p, alert: a, began: now}
	for _, v := range j.alert(ctx, a) {
		if !v.waits {
			continue
		}
		v.waits = false
		for _, st := range j.none(v.policy, reason) {
			t.skip(ctx, v, st, reason)
		}
	}
	return p.reporter.flush(ctx)
}
