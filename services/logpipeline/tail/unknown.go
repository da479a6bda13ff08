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

	more   int // older ones
	moreAt time.Time
}

type unknownLoss struct {
	text string
	at   time.Time
}

func (u *unknownLosses) add(text string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, unknownLoss{text, now})
	if n := len(u.all) - maxUnknown; n > 0 {
		u.all = u.all[n:]
		u.more, u.moreAt = u.more+n, now
	}
}

// reasons returns a sentence for each of the newest, and one for how many more there are: whoever makes and removes many files hides no loss.
func (u *unknownLosses) reasons(now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	for _, l := range u.all {
		if now.Sub(l.at) < unknownShown {
			out = append(out, l.text)
		}
	}
	if u.more > 0 && now.Sub(u.moreAt) < unknownShown {
		out = append(out, fmt.Sprintf("%d more files were removed or written anew while they were not read: the log names each", u.more))
	}
	return out
}
