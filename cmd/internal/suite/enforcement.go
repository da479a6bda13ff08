package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
)

// enforcementInterval is how often the blocklist is compared with the packet engine being there. An engine that is starting
// has that long.
const enforcementInterval = 30 * time.Second

// enforcement finds out that addresses are to be blocked and no packet engine of this host does it.
type enforcement struct {
	conn *bus.Conn
	host string

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

// check asks the packet engine for its blocklist, and looks into the bucket if it does not answer. While the bus does not answer,
// which has its own reason, the former result stays.
func (e *enforcement) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var list json.RawMessage
	err := e.conn.Request(ctx, bus.VerbSubject(bus.EBPFEngine, e.host, "blocklist"), map[string]int{"limit": 1}, &list)
	if err == nil {
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
	reason := fmt.Sprintf("%d blocks are wanted and nothing enforces them: no packet engine runs on this host (ebpf.enabled)", len(blocks))
	e.reason.Store(&reason)
}
