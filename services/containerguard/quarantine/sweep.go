package quarantine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
)

const sweepEvery = time.Minute

// sweep removes what is too old, or beyond a limit that was lowered. There may be much
// of it, so nobody waits for the disk meanwhile.
func (a *archive) sweep(ctx context.Context, now time.Time) {
	var bytes int64
	var removed int
	var errs []error
	for action, s := range a.takeOut(now) {
		err := ctx.Err() // it is there again after the next start
		if err == nil {
			err = os.RemoveAll(filepath.Join(a.path, action))
		}
		if err != nil {
			errs = append(errs, err)
			a.putBack(action, s)
			continue
		}
		removed, bytes = removed+1, bytes+s.bytes
	}
	if removed > 0 {
		a.log.WithFields(logrus.Fields{"actions": removed, "bytes": bytes}).Warn("evidence removed: too old, or too much")
	}
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		a.log.WithError(err).Error("evidence not removed")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stats.Removed += uint64(removed)
	a.full = a.full && a.crowded()
}

// takeOut takes what is to be removed out of the count, so that nothing more is
// removed for the room it had.
func (a *archive) takeOut(now time.Time) map[string]*shelf {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone, _ := a.oldest(0)
	for _, action := range a.removable() {
		if a.limits.Retention == 0 || now.Sub(a.shelves[action].since) <= a.limits.Retention {
			break
		}
		gone = append(gone, action)
	}
	out := map[string]*shelf{}
	for _, action := range gone {
		s := a.shelves[action]
		if s == nil {
			continue // for both reasons
		}
		out[action] = s
		delete(a.shelves, action)
		a.stats.Bytes -= s.bytes
	}
	return out
}

func (a *archive) putBack(action string, s *shelf) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shelves[action] = s
	a.stats.Bytes += s.bytes
}
