package containerguard

import (
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	maxReleased  = 1024             // containers; beyond it the one released first is forgotten
	releasedTime = 10 * time.Minute // longer than any deduplication window that is usual
)

// releasedContainers remembers when containers were released. The log pipeline only counts matches of a window whose
// first alert was answered; the update at its end is then the first word of what came after the release. Its methods
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

// newerThanRelease reports whether a is about a container that was released before the newest match.
func (rc *releasedContainers) newerThanRelease(a *event.Alert, now time.Time) bool {
	if a.Container == nil {
		return false
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	at, released := rc.at[a.Container.ID]
	return released && a.ReceivedAt().After(at) && now.Sub(at) <= releasedTime
}
