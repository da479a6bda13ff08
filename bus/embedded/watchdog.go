package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// minFree is the free space below which a failed store is left alone, and a
	// working one is worth a warning.
	minFree = 8 << 20

	// failuresToBelieve is how many looks in a row must find the store failed before the
	// server is restarted: a stream that is being made looks failed for a moment.
	failuresToBelieve = 3

	firstPause = 2 * time.Second
	lastPause  = time.Minute
)

// watchdog looks at the store. The server does not come back by itself from a
// full disk: its streams refuse every message until it is started anew, and a
// publisher meets that as silence.
type watchdog struct {
	server *Server
	failed int           // looks in a row that found the store failed
	pause  time.Duration // before the next restart, doubled by each that did not help
	next   time.Time
}

// Watch looks at the store until ctx ends, and restarts the server in place when
// the store has failed and there is space again. It returns nil when ctx ends.
func (s *Server) Watch(ctx context.Context) error {
	w := &watchdog{server: s, pause: firstPause}
	tick := time.NewTicker(s.config.CheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			w.check(ctx, now)
		}
	}
}

func (w *watchdog) check(ctx context.Context, now time.Time) {
	s := w.server
	reason, known := storeReason(s.dialer.current.Load())
	if !known {
		return
	}
	free, err := freeSpace(s.config.StoreDir)
	if err != nil {
		s.health.setStoreReason(fmt.Sprintf("cannot read the free space of the bus store: %v", err))
		return
	}
	if w.believe(reason) {
		s.health.setStoreReason(describeStore(reason, free))
	}
	if w.failed >= failuresToBelieve && free >= minFree && now.After(w.next) {
		w.restart(ctx, reason, free)
	}
}

// believe counts failures in a row and reports whether reason is to be believed.
func (w *watchdog) believe(reason string) bool {
	if reason != "" {
		w.failed++
		return w.failed >= failuresToBelieve
	}
	w.failed, w.pause = 0, firstPause
	return true
}

// describeStore is the reason to show: why the store failed, or that it soon may.
func describeStore(reason string, free uint64) string {
	if free >= minFree {
		return reason
	}
	full := fmt.Sprintf("the disk of the bus store is full: %d bytes free", free)
	if reason == "" {
		return full
	}
	return reason + "; " + full
}

func (w *watchdog) restart(ctx context.Context, reason string, free uint64) {
	s := w.server
	log := s.log.WithFields(logrus.Fields{"reason": reason, "free_bytes": free})
	log.Warn("bus store failed, restarting the bus server in place")
	err := s.Restart(ctx)
	w.failed = 0
	w.next = time.Now().Add(w.pause)
	w.pause = min(2*w.pause, lastPause)
	if err != nil {
		log.WithError(err).Error("bus server did not restart")
	}
}
