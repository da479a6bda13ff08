package suite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
)

// remember is how long a durable that was deleted stays a reason after it was made
// again: long enough to be seen in the health, and by whoever looks into it.
const remember = 10 * time.Minute

// caretaker runs the bus's janitor and keeps what it said, for the health. Its
// methods may be called concurrently.
type caretaker struct {
	conn     *bus.Conn
	durables []bus.Durable
	log      logrus.FieldLogger

	mu       sync.Mutex
	now      map[string][]string // of the newest look, by module
	restored map[string]restored // by durable
}

type restored struct {
	durable bus.Durable
	at      time.Time
}

func newCaretaker(b *busSide, log logrus.FieldLogger) *caretaker {
	return &caretaker{conn: b.admin, durables: b.durables, log: log, restored: map[string]restored{}}
}

// run looks after the streams until ctx ends.
func (c *caretaker) run(ctx context.Context) error {
	return c.conn.RunMaintenance(ctx, bus.MaintenanceConfig{Durables: c.durables, Log: c.log}, c.told)
}

func (c *caretaker) told(report bus.MaintenanceReport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = report.Reasons
	for _, d := range report.Restored {
		c.restored[d.Name] = restored{durable: d, at: time.Now()}
	}
}

// reasons returns what is wrong, by the module to blame.
func (c *caretaker) reasons() map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]string{}
	for module, reasons := range c.now {
		if module == bus.Daemon { // no module of ours is to blame
			module = busName
		}
		out[module] = append(out[module], reasons...)
	}
	for name, r := range c.restored {
		if time.Since(r.at) > remember {
			delete(c.restored, name)
			continue
		}
		out[r.durable.Module] = append(out[r.durable.Module], fmt.Sprintf(
			"its durable %s on %s was deleted at %s and made again", name, r.durable.Stream, r.at.UTC().Format(time.RFC3339)))
	}
	return out
}
