package bus

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// maxViolations bounds how many different ones a connection remembers.
const maxViolations = 32

// blockedTooLong is how long a publish may be blocked before that is a reason.
const blockedTooLong = 5 * time.Second

// Violation is something the server did not let this connection do.
type Violation struct {
	Message string
	Count   uint64
	First   time.Time
	Last    time.Time
}

type violations struct {
	mu   sync.Mutex
	list []Violation
}

func (v *violations) add(what string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := slices.IndexFunc(v.list, func(o Violation) bool { return o.Message == what })
	if i < 0 && len(v.list) < maxViolations {
		v.list = append(v.list, Violation{Message: what, First: at})
		i = len(v.list) - 1
	}
	if i >= 0 {
		v.list[i].Count++
		v.list[i].Last = at
	}
}

// Violations returns what the server refused this connection, oldest first; at most
// 32 different ones are remembered.
func (c *Conn) Violations() []Violation {
	c.violations.mu.Lock()
	defer c.violations.mu.Unlock()
	return slices.Clone(c.violations.list)
}

// Reasons returns, for people, why this connection is not well: not connected,
// refused something, or a publish blocked for over 5 s. Empty means well.
func (c *Conn) Reasons() []string {
	var reasons []string
	if !c.Connected() {
		reasons = append(reasons, "not connected to the bus")
	}
	for _, v := range c.Violations() {
		reasons = append(reasons, fmt.Sprintf("refused by the bus: %s", v.Message))
	}
	for _, p := range c.allPublishers() {
		if s := p.Stats(); !s.BlockedSince.IsZero() && time.Since(s.BlockedSince) > blockedTooLong {
			reasons = append(reasons, fmt.Sprintf("publishing to %s blocked for %d s", p.cfg.Stream, int(time.Since(s.BlockedSince).Seconds())))
		}
	}
	return reasons
}

func (c *Conn) allPublishers() []*Publisher {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.publishers)
}

func silent() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// UnansweredPulls returns how many pull requests of this connection's consumers were
// not answered and made again.
func (c *Conn) UnansweredPulls() uint64 { return c.lostPulls.Load() }
