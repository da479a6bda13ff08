package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
)

// enforcementInterval is how often the blocklist is compared with the packet engine being there. An engine that is starting
// has that long.
const enforcementInterval = 30 * time.Second

// discoverTime is how long packet engines of other hosts have to answer.
const discoverTime = time.Second

// enforcement finds out that addresses are to be blocked and no packet engine does it, neither of this host nor of another
// that takes its blocks from this bus.
type enforcement struct {
	conn  *bus.Conn
	host  string
	edges func() bool // whether an edge's packet engine enforces the blocks of this bus

	reason atomic.Pointer[string] // nil: none
}

// run checks every enforcementInterval until ctx ends.
func (e *enforcement) run(ctx context.Context) error {
	ticker := time.NewTicker(enforcementInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			e.check(ctx)
		}
	}
}

// check looks into the bucket if no packet engine answers. While the bus does not answer, which has its own reason, the former
// result stays.
func (e *enforcement) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	enforced, err := e.enforced(ctx)
	if err != nil {
		return
	}
	if enforced {
		e.reason.Store(nil)
		return
	}
	bucket, err := e.conn.Blocklist(ctx)
	if err != nil {
		return
	}
	blocks, _, err := bucket.List(ctx)
	if err != nil {
		return
	}
	if len(blocks) == 0 {
		e.reason.Store(nil)
		return
	}
	reason := fmt.Sprintf("%d blocks are wanted and nothing enforces them: no packet engine runs on this host (ebpf.enabled), and none of another host or edge answers", len(blocks))
	e.reason.Store(&reason)
}

// enforced asks the packet engine of this host for its blocklist, and then whether another is there.
func (e *enforcement) enforced(ctx context.Context) (bool, error) {
	var list json.RawMessage
	err := e.conn.Request(ctx, bus.VerbSubject(bus.EBPFEngine, e.host, "blocklist"), map[string]int{"limit": 1}, &list)
	if err == nil || e.edges() {
		return true, nil
	}
	services, err := e.conn.Discover(ctx, discoverTime)
	return slices.ContainsFunc(services, func(s bus.ServiceStatus) bool { return s.Module == bus.EBPFEngine && s.Host != e.host }), err
}
