package edge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	pollInterval = 5 * time.Second
	pollWait     = 2 * time.Second // for the answers
	// silentAfter is how long an edge may be silent before that is a reason: two polls.
	silentAfter = 10 * time.Second
)

// Monitor is what a hub knows of its edges. Its methods may be called concurrently.
type Monitor struct {
	conn  *bus.Conn       // of the hub's daemon
	edges func() []string // hosts that have a key of an edge

	mu    sync.Mutex
	since time.Time            // it watches
	seen  map[string]time.Time // when an edge last answered
	block map[string]bool      // whether its packet engine ran then
}

// NewMonitor returns a Monitor that asks through conn for those that edges returns.
func NewMonitor(conn *bus.Conn, edges func() []string) *Monitor {
	return &Monitor{conn: conn, edges: edges, since: time.Now(), seen: map[string]time.Time{}, block: map[string]bool{}}
}

// Run asks the edges every few seconds until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if err := m.poll(ctx, m.edges()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// poll asks each of hosts for its status, and notes which answer. Only the key of an edge may answer there
// in its name; what answers a ping says itself who it is.
func (m *Monitor) poll(ctx context.Context, hosts []string) error {
	g := task.New(ctx)
	for _, host := range hosts {
		g.Go("ask the edge "+host, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, pollWait)
			defer cancel()
			var health event.DaemonHealth
			if m.conn.Request(ctx, bus.VerbSubject(bus.Daemon, host, "status"), nil, &health) == nil {
				m.answered(host, health, time.Now())
			}
			return nil
		})
	}
	return g.Wait()
}

func (m *Monitor) answered(host string, health event.DaemonHealth, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[host] = now
	m.block[host] = slices.ContainsFunc(health.Modules, func(h event.ModuleHealth) bool {
		return h.Name == bus.EBPFEngine && h.Enabled && h.Status != event.Unhealthy
	})
}

// Enforcing reports whether an edge answers whose packet engine enforces the hub's blocks.
func (m *Monitor) Enforcing() bool {
	for _, host := range m.edges() {
		if m.silence(host, time.Now()) == "" && m.blocks(host) {
			return true
		}
	}
	return false
}

func (m *Monitor) blocks(host string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.block[host]
}

// Connected returns for each edge whether it answers.
func (m *Monitor) Connected() map[string]bool {
	out := map[string]bool{}
	for _, host := range m.edges() {
		out[host] = m.silence(host, time.Now()) == ""
	}
	return out
}

// Reasons returns a sentence for each edge that does not answer.
func (m *Monitor) Reasons() []string {
	var reasons []string
	for _, host := range m.edges() {
		if since := m.silence(host, time.Now()); since != "" {
			reasons = append(reasons, fmt.Sprintf("the edge %s has not answered since %s: its alerts and actions wait there", host, since))
		}
	}
	slices.Sort(reasons)
	return reasons
}

// silence returns since when host does not answer, "" if it does.
func (m *Monitor) silence(host string, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, seen := m.seen[host]
	switch {
	case seen && now.Sub(at) < silentAfter+pollWait, !seen && now.Sub(m.since) < silentAfter:
		return ""
	case seen:
		return at.UTC().Format(time.RFC3339)
	}
	return "this daemon started at " + m.since.UTC().Format(time.RFC3339)
}
