package containerguard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const (
	maxPending       = 1024 // alerts; the steps of one more are skipped, with the reason, and health says so
	retryInterval    = 100 * time.Millisecond
	retryConcurrency = 32
)

// pendingAlerts are the alerts whose container cannot be found until Docker is back, in
// a file each, so that a restart loses none. Its methods may be called concurrently.
type pendingAlerts struct {
	folder *folder.Folder

	mu     sync.Mutex
	alerts map[string]*event.Alert // by file name
}

// openPendingAlerts reads the alerts that wait. A file that is no alert is removed.
func openPendingAlerts(dataDir string) (*pendingAlerts, error) {
	f, err := folder.Open(filepath.Join(dataDir, "pending"))
	if err != nil {
		return nil, fmt.Errorf("directory of pending alerts: %w", err)
	}
	p := &pendingAlerts{folder: f, alerts: map[string]*event.Alert{}}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("directory of pending alerts: %w", errors.Join(err, f.Close()))
	}
	return p, nil
}

func (p *pendingAlerts) load() error {
	names, err := p.folder.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		a := &event.Alert{}
		data, err := p.folder.Read(name, event.MaxSize)
		if err == nil && strings.HasSuffix(name, ".json") && event.Decode(data, a) == nil {
			p.alerts[name] = a
			continue
		}
		if err := p.folder.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

var errTooManyPending = fmt.Errorf("%d alerts wait for Docker already", maxPending)

// add keeps an alert, data being its JSON, until remove. An alert that is there already
// is not added again. It returns errTooManyPending, or the error of the disk.
func (p *pendingAlerts) add(a *event.Alert, data []byte) error {
	name := event.ID(a.ID) + ".json"
	p.mu.Lock()
	_, known := p.alerts[name]
	full := len(p.alerts) >= maxPending
	if !known && !full {
		p.alerts[name] = a
	}
	p.mu.Unlock()
	switch {
	case known:
		return nil
	case full:
		return errTooManyPending
	}
	if err := p.folder.Write(name, data); err != nil {
		p.forget(name)
		return fmt.Errorf("keep alert until Docker is back: %w", err)
	}
	return nil
}

// remove removes an alert that was answered, by file name.
func (p *pendingAlerts) remove(name string) error {
	p.forget(name)
	return p.folder.Remove(name)
}

func (p *pendingAlerts) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.alerts, name)
}

func (p *pendingAlerts) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.alerts)
}

// all returns the alerts by file name.
func (p *pendingAlerts) all() map[string]*event.Alert {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.alerts)
}

// addPending makes an alert pending. If that is not possible the steps of its waiting
// decisions are skipped with the reason.
func (s *Service) addPending(ctx context.Context, a *event.Alert, data []byte, waiting []decision) error {
	run := s.run.Load()
	err := run.pending.add(a, data)
	if err == nil {
		return nil
	}
	s.health.Set(topicPending, err.Error())
	e := &evaluator{retried: true}
	r := s.newResponse(run, a, time.Now())
	for _, d := range waiting {
		for _, st := range e.skipped(d.policy, d.steps, err.Error()) {
			r.skip(ctx, d, st, err.Error())
		}
	}
	return run.reporter.flush(ctx)
}

// retryPendingLoop retries pending alerts until ctx ends.
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

// retryPending answers all pending alerts if Docker is back, else those that have
// become too old, whose steps are then skipped as stale.
func (s *Service) retryPending(ctx context.Context, now time.Time) {
	run := s.run.Load()
	if run.pending.len() == 0 {
		return
	}
	s.health.Clear(topicPending)
	dockerBack := run.inventory.StaleReason() == ""
	g := task.New(ctx)
	slots := make(chan struct{}, retryConcurrency)
	for name, a := range run.pending.all() {
		if !dockerBack && !safety.Deadline(a, s.config().maxAge()).Before(now) {
			continue
		}
		slots <- struct{}{}
		g.Go("pending alert", func(ctx context.Context) error {
			defer func() { <-slots }()
			waiting, err := s.respond(ctx, a, true)
			if err != nil || len(waiting) > 0 { // Docker is gone again, or the bus away: retried at the next tick
				return nil
			}
			if err := run.pending.remove(name); err != nil {
				s.log.WithError(err).Warn("cannot remove a pending alert that was answered: it is answered again after a restart")
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		s.log.WithError(err).Error("pending alert not answered, it is retried")
	}
}
