package bus

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// maxViolations bounds how many different violations a connection remembers.
	maxViolations = 32
	// violationExpiry is how long a violation is remembered after it was last repeated.
	violationExpiry = 10 * time.Minute
	// blockedTooLong is how long a publisher may be blocked before that is a reason.
	blockedTooLong = 5 * time.Second
)

// Violation is something the server did not permit this connection to do.
type Violation struct {
	Message string // the server's words, which name the subject
	Count   uint64
	First   time.Time
	Last    time.Time
}

// violations remembers the newest violations. Its methods may be called concurrently.
type violations struct {
	mu   sync.Mutex
	list []Violation // by First
}

func (v *violations) add(message string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire(at)
	i := slices.IndexFunc(v.list, func(o Violation) bool { return o.Message == message })
	if i < 0 {
		if len(v.list) == maxViolations {
			v.list = slices.Delete(v.list, 0, 1)
		}
		v.list = append(v.list, Violation{Message: message, First: at})
		i = len(v.list) - 1
	}
	v.list[i].Count++
	v.list[i].Last = at
}

func (v *violations) current(now time.Time) []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire(now)
	return slices.Clone(v.list)
}

// expire forgets what was not repeated for violationExpiry. v.mu is held.
func (v *violations) expire(now time.Time) {
	v.list = slices.DeleteFunc(v.list, func(o Violation) bool { return now.Sub(o.Last) >= violationExpiry })
}

// Violations returns what the server did not permit this connection to do within the
// last 10 minutes, at most 32 different ones, oldest first.
func (c *Conn) Violations() []Violation { return c.violations.current(time.Now()) }

// Reasons returns why this connection is degraded, as sentences for people: it is not
// connected, was not permitted something within the last 10 minutes, or has a publisher
// that is blocked for over 5 s. Empty means healthy.
func (c *Conn) Reasons() []string {
	var reasons []string
	if !c.Connected() {
		reasons = append(reasons, "not connected to the bus")
	}
	for _, v := range c.Violations() {
		reasons = append(reasons, fmt.Sprintf("refused by the bus: %s", v.Message))
	}
	var blocked []string
	for _, p := range c.openPublishers() {
		if since := p.Stats().BlockedSince; !since.IsZero() && time.Since(since) > blockedTooLong {
			blocked = append(blocked, fmt.Sprintf("publishing to %s blocked for %d s", p.cfg.Stream, int(time.Since(since).Seconds())))
		}
	}
	slices.Sort(blocked)
	return append(reasons, blocked...)
}

func (c *Conn) openPublishers() []*Publisher {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.publishers))
}

// UnansweredPulls returns how many pull requests of this connection's consumers were
// not answered and made again.
func (c *Conn) UnansweredPulls() uint64 { return c.lostPulls.Load() }

func silent() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}
