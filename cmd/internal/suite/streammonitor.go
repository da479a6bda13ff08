package suite

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
)

const (
	pollInterval = 5 * time.Second
	pollTimeout  = 4 * time.Second
	maxLagPolls  = 12 // polls in a row with more than maxPending records to deliver before that is a reason
	maxPending   = 1000
	maxIdlePolls = 3 // polls in a row without a consumer before that is a reason: between two pulls there is none
)

// streamMonitor polls the state of the streams for the health and the metrics. Its
// methods may be called concurrently.
type streamMonitor struct {
	conn *bus.Conn

	mu       sync.Mutex
	durables []bus.Durable
	states   []bus.StreamState
	err      error
	idle     map[string]int // polls in a row in which no client consumed, by durable
	lag      map[string]int // polls in a row in which much was to be delivered, by durable
}

func newStreamMonitor(b *connections) *streamMonitor {
	return &streamMonitor{conn: b.admin, durables: b.durables, idle: map[string]int{}, lag: map[string]int{}}
}

// setDurables has m watch other durables from its next poll on.
func (m *streamMonitor) setDurables(durables []bus.Durable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durables = durables
}

// run polls every few seconds until ctx ends.
func (m *streamMonitor) run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		m.poll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (m *streamMonitor) poll(ctx context.Context) {
	bound, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	m.mu.Lock()
	durables := m.durables
	m.mu.Unlock()
	states, err := m.conn.StreamStates(bound, durables)
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	if err != nil {
		return
	}
	m.states = states
	for _, s := range states {
		for _, d := range s.Durables {
			m.lag[d.Name]++
			if d.Pending <= maxPending {
				m.lag[d.Name] = 0
			}
			m.idle[d.Name]++
			if d.Waiting > 0 || d.AckPending > 0 {
				m.idle[d.Name] = 0
			}
		}
	}
}

// snapshot returns the states of the newest poll.
func (m *streamMonitor) snapshot() []bus.StreamState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states
}

// reasons returns problems of the streams, by the module they concern.
func (m *streamMonitor) reasons() map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]string{}
	if m.err != nil {
		out[busName] = append(out[busName], "streams do not answer: "+m.err.Error())
	}
	for _, server := range serversBehind(m.states) {
		out[busName] = append(out[busName], fmt.Sprintf("the server %s of the external bus is down or catches up: its copies of streams are not current", server))
	}
	owners := map[string]string{}
	for _, d := range m.durables {
		owners[d.Name] = d.Module
	}
	for _, s := range m.states {
		for _, d := range s.Durables {
			if owners[d.Name] == bus.Forwarder {
				continue // it says itself why it does not consume
			}
			owner, which := owners[d.Name], "its durable"
			if owner == "" || owner == bus.Daemon {
				owner, which = busName, "the durable "+d.Name
			}
			if d.Present && m.lag[d.Name] >= maxLagPolls && m.idle[d.Name] < maxIdlePolls {
				out[owner] = append(out[owner], fmt.Sprintf("%d messages of %s wait for %s, for more than a minute", d.Pending, s.Name, which))
			}
			if d.Present && m.idle[d.Name] >= maxIdlePolls { // stream maintenance reports one that is gone or holds a full stream up
				out[owner] = append(out[owner], fmt.Sprintf("no client consumes %s on %s, %d messages are pending", which, s.Name, d.Pending))
			}
		}
	}
	return out
}

// serversBehind returns the servers of a cluster whose copy of a stream is not current.
func serversBehind(states []bus.StreamState) []string {
	var out []string
	for _, s := range states {
		out = append(out, s.Behind...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
