package sbomscanner

import (
	"context"
	"time"

	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/image"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const (
	firstReconnect = time.Second
	lastReconnect  = time.Minute
	// listInterval is how often Docker is asked without an event.
	listInterval = 5 * time.Minute
	// listPause is how long events are collected before Docker is asked.
	listPause = 500 * time.Millisecond
)

// imageWatcher tells the loop which images containers run.
type imageWatcher struct {
	s      *Service
	docker *docker.Client
	images *image.Scanner
	lists  chan []inventory.Asset
	wake   chan struct{} // a token: something has changed
}

func newImageWatcher(s *Service, w *worker) *imageWatcher {
	return &imageWatcher{s: s, docker: w.docker, images: w.images, lists: make(chan []inventory.Asset), wake: make(chan struct{}, 1)}
}

// run watches until ctx ends. Docker may be away, at any time.
func (w *imageWatcher) run(ctx context.Context) error {
	g := task.New(ctx)
	g.Go("image events", w.watchEvents)
	g.Go("image list", w.listChanges)
	return g.Wait()
}

func (w *imageWatcher) changed() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *imageWatcher) watchEvents(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; failures++ {
		err := w.docker.ImageEvents(ctx, func() {
			failures = 0
			w.changed()
		}, func(docker.Event) error {
			w.changed()
			return nil
		})
		if ctx.Err() == nil {
			w.away(err)
			task.Pause(ctx, backoff.Delay(failures, firstReconnect, lastReconnect))
		}
	}
	return nil
}

// away says why images are not scanned, and what is known of them stays.
func (w *imageWatcher) away(err error) {
	if err != nil && w.s.reasons.Set(topicDocker, "images are not scanned: "+err.Error()) {
		w.s.log.WithError(err).Warn("docker is not reachable, trying again")
	}
}

// listChanges asks Docker which images containers run, whenever something has changed.
func (w *imageWatcher) listChanges(ctx context.Context) error {
	timer := time.NewTicker(listInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			task.Pause(ctx, listPause)
		case <-timer.C:
		}
		select { // what came meanwhile is in the list
		case <-w.wake:
		default:
		}
		running, err := w.images.Images(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.away(err)
			}
			continue
		}
		if w.s.reasons.Clear(topicDocker) {
			w.s.log.Info("docker is reachable again")
		}
		select {
		case <-ctx.Done():
			return nil
		case w.lists <- running:
		}
	}
}
