package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// minFree is the free space below which a failed store is not restarted, and a healthy
	// one is reported.
	minFree = 8 << 20

	// failuresToBelieve is how many checks in a row must fail before the server is restarted:
	// a stream that is being created seems to have failed for a moment.
	failuresToBelieve = 3

	firstPause = 2 * time.Second
	lastPause  = time.Minute
)

// watchdog checks the store. The server does not recover from a full disk: until it is
// restarted its streams store nothing, and a publisher gets no answer.
type watchdog struct {
	server *Server
	failed int           // checks in a row that failed
	pause  time.Duration // before the next restart, doubled after each one
	next   time.Time
}

// Watch checks the store until ctx ends, and restarts the server in place when the store
// has failed and there is space. It opens the observers' port once that is free. It returns nil.
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
			s.openObserverPort() //nolint:contextcheck // it does not wait
		}
	}
}

func (w *watchdog) check(ctx context.Context, now time.Time) {
	s := w.server
	reason, known := storeReason(s.dialer.current.Load())
	if !known {
		return
	}
	free, err := FreeSpace(s.config.StoreDir)
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

// believe counts failures in a row and reports whether reason is to be shown.
func (w *watchdog) believe(reason string) bool {
	if reason != "" {
		w.failed++
		return w.failed >= failuresToBelieve
	}
	w.failed, w.pause = 0, firstPause
	return true
}

// describeStore returns the reason to show: why the store failed, or that the disk is full.
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
		log.WithError(err).Error("cannot restart the bus server")
	}
}
