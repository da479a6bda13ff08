package embedded

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// healthState is the health of the bus beyond what the server itself reports.
type healthState struct {
	mu          sync.Mutex
	warnings    []string
	restarts    uint64
	storeReason string
	portReason  string
	slow        uint64    // clients that were dropped because they do not read, when ObserverReasons was last asked
	slowAt      time.Time // when there were more than before
}

// addWarning adds a warning for the life of the process.
func (n *healthState) addWarning(warning string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.warnings = append(n.warnings, warning)
}

// setStoreReason sets why the store is unhealthy, empty for healthy.
func (n *healthState) setStoreReason(reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.storeReason = reason
}

// setPortReason sets why the observers' port is not served, empty if it is, and reports whether that changed.
func (n *healthState) setPortReason(reason string) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = n.portReason != reason
	n.portReason = reason
	return changed
}

// Health returns why the bus is unhealthy, as sentences for people; empty means healthy.
func (s *Server) Health() []string {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return slices.DeleteFunc([]string{s.health.storeReason, s.health.portReason}, func(reason string) bool { return reason == "" })
}

// Warnings returns, as sentences for people, which configured listener is not available,
// though the bus works without it: the operators' socket.
func (s *Server) Warnings() []string {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return slices.Clone(s.health.warnings)
}

// ObserverReasons returns what was refused to observers within the last minute, and kept from them, as sentences for people. It may be called concurrently.
func (s *Server) ObserverReasons() []string {
	if s.observers == nil {
		return nil
	}
	var out []string
	if reason := s.observers.reason(); reason != "" {
		out = append(out, reason)
	}
	if n, recently := s.gateway.copier.skippedSoFar(); recently {
		out = append(out, fmt.Sprintf("records were not copied for observers, %d so far: they are too many for the subscriptions", n))
	}
	if n, recently := s.slowClients(); recently {
		out = append(out, fmt.Sprintf("clients were dropped because they do not read, %d so far", n))
	}
	return out
}

// slowClients returns how many clients were dropped because they do not read, and whether there were more in the last minute.
func (s *Server) slowClients() (n uint64, recently bool) {
	n = s.Stats().SlowConsumers
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if n > s.health.slow {
		s.health.slowAt = time.Now()
	}
	s.health.slow = n // the count begins anew with a server
	return n, time.Since(s.health.slowAt) < refusalsTold
}

// Stats counts what happened since the start.
type Stats struct {
	// Restarts of the server in place.
	Restarts uint64
	// Clients now connected, and Refused so far, by listener: "socket", "observer", "remote".
	Clients map[string]uint64
	Refused map[string]uint64
	// SlowConsumers were dropped because they did not read.
	SlowConsumers uint64
	// Stalled counts producers that had to wait for a slow consumer. It stays 0: the
	// server is configured not to let them.
	Stalled uint64
	// ObserverSkipped are records that were not copied for observers.
	ObserverSkipped uint64
}

// Stats returns the counters of the bus.
func (s *Server) Stats() Stats {
	st := Stats{Clients: map[string]uint64{}, Refused: map[string]uint64{}}
	s.listening.Lock()
	proxies := maps.Clone(s.proxies)
	s.listening.Unlock()
	for name, p := range proxies {
		st.Clients[name], st.Refused[name] = p.counts()
	}
	if s.gateway != nil {
		st.ObserverSkipped, _ = s.gateway.copier.skippedSoFar()
	}
	s.health.mu.Lock()
	st.Restarts = s.health.restarts
	s.health.mu.Unlock()
	if ns := s.dialer.current.Load(); ns != nil {
		st.SlowConsumers = uint64(max(0, ns.NumSlowConsumers()))
		st.Stalled = uint64(max(0, ns.NumStalledClients()))
	}
	return st
}

// storeReason returns why the store of ns is unhealthy, empty for healthy. It is not always
// known: on a busy machine the server answers that it is not ready, because it allows itself
// a millisecond for that, and does not check its store then.
func storeReason(ns *server.Server) (reason string, known bool) {
	if ns == nil {
		return "the bus server is not running", true
	}
	if !ns.JetStreamEnabled() {
		return "the bus stores nothing: JetStream is off", true
	}
	errs := ns.Healthz(&server.HealthzOptions{Details: true}).Errors
	if len(errs) == 0 {
		return "", true
	}
	if errs[0].Type == server.HealthzErrorConn {
		return "", false
	}
	return fmt.Sprintf("the bus store has failed: %s", errs[0].Error), true
}
