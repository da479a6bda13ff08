package containerguard

import (
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	maxReleased  = 1024             // containers; beyond it the one released first is forgotten
	releasedTime = 10 * time.Minute // longer than container.max_alert_age_secs is by default
)

// releasedContainers remembers when containers were released: what came before isolates none again. Its methods
// may be called concurrently.
type releasedContainers struct {
	mu sync.Mutex
	at map[string]time.Time // by id
}

func newReleasedContainers() *releasedContainers {
	return &releasedContainers{at: map[string]time.Time{}}
}

func (rc *releasedContainers) note(id string, now time.Time) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.at[id] = now
	first := id
	for other, at := range rc.at {
		if now.Sub(at) > releasedTime {
			delete(rc.at, other)
		} else if at.Before(rc.at[first]) {
			first = other
		}
	}
	if len(rc.at) > maxReleased {
		delete(rc.at, first)
	}
}

// releasedAt returns when a container was released lately, zero if it was not.
func (rc *releasedContainers) releasedAt(id string, now time.Time) time.Time {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if at := rc.at[id]; now.Sub(at) <= releasedTime {
		return at
	}
	return time.Time{}
}

// newerThanRelease reports whether a is about a container that was released before the newest match.
func (rc *releasedContainers) newerThanRelease(a *event.Alert, now time.Time) bool {
	if a.Container == nil {
		return false
	}
	at := rc.releasedAt(a.Container.ID, now)
	return !at.IsZero() && a.ReceivedAt().After(at)
}
