package tail

import (
	"fmt"
	"sync"
	"time"
)

const (
	// unknownShown is how long a loss of unknown size is a reason.
	unknownShown = 24 * time.Hour
	maxUnknown   = 5
)

// unknownLosses are losses whose size is not known: of files that went, or were written anew, while nothing was read. Its methods may
// be called concurrently.
type unknownLosses struct {
	mu  sync.Mutex
	all []unknownLoss // the newest, in order
}

type unknownLoss struct {
	path string
	at   time.Time
	end  int64 // up to which it was read
}

func (u *unknownLosses) add(path string, end int64, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, unknownLoss{path, now, end})
	u.all = u.all[max(0, len(u.all)-maxUnknown):]
}

// reasons returns a sentence for each.
func (u *unknownLosses) reasons(now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	for _, l := range u.all {
		if now.Sub(l.at) < unknownShown {
			out = append(out, fmt.Sprintf("%s was removed or written anew while it was not read, found at %s: lines after its byte %d may be lost, how many is unknown",
				l.path, l.at.UTC().Format(time.RFC3339), l.end))
		}
	}
	return out
}
