package blocklist_test

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf"
)

// model is bpf.Filter in a few lines, written from its documentation: the oracle of the property tests, and the kernel where a
// test is about something else. It bounds IPv4 and IPv6 separately, as the kernel's maps do.
type model struct {
	capacity int

	mu      sync.Mutex
	entries map[netip.Prefix]bpf.Entry
	allowed []netip.Prefix
	scopes  []bpf.Scope
	writes  int
	err     error // of the next calls
	once    error // of the next call of Block alone
}

func newModel(capacity int) *model {
	return &model{capacity: capacity, entries: map[netip.Prefix]bpf.Entry{}}
}

func (m *model) SetScopes(scopes []bpf.Scope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.scopes = scopes
	}
	return m.err
}

// drop adds packets to every scope.
func (m *model) drop(packets uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scopes = slices.Clone(m.scopes)
	for i := range m.scopes {
		m.scopes[i].Packets += packets
	}
}

func (m *model) Scopes() ([]bpf.Scope, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.scopes), m.err
}

func (m *model) Block(entries []bpf.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if err := m.once; err != nil && len(entries) > 0 {
		m.once = nil
		return err
	}
	var full error
	for _, e := range entries {
		old, there := m.entries[e.Prefix]
		if !there && m.count(e.Prefix.Addr().Is4()) >= m.capacity {
			full = bpf.ErrFull
			continue
		}
		m.writes++
		e.Packets, e.Bytes = old.Packets, old.Bytes
		m.entries[e.Prefix] = e
	}
	return full
}

func (m *model) count(is4 bool) (n int) {
	if len(m.entries) < m.capacity {
		return 0
	}
	for p := range m.entries {
		if p.Addr().Is4() == is4 {
			n++
		}
	}
	return n
}

func (m *model) Unblock(prefixes []netip.Prefix) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, p := range prefixes {
		m.writes++
		delete(m.entries, p)
	}
	return nil
}

func (m *model) Blocked() ([]bpf.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.entries)), m.err
}

func (m *model) Allow(prefixes []netip.Prefix) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.allowed = slices.Clone(prefixes)
	return m.err
}

func (m *model) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// failOnce makes the next call of Block with entries fail.
func (m *model) failOnce(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.once = err
}

// drops reports whether a packet from addr is dropped.
func (m *model) drops(addr netip.Addr, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.allowed {
		if p.Contains(addr) {
			return false
		}
	}
	for p, e := range m.entries {
		if p.Contains(addr) && (e.Expires.IsZero() || e.Expires.After(now)) {
			return true
		}
	}
	return false
}

// hit counts a dropped packet.
func (m *model) hit(prefix string, packets, bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := netip.MustParsePrefix(prefix)
	e := m.entries[p]
	e.Packets, e.Bytes = e.Packets+packets, e.Bytes+bytes
	m.entries[p] = e
}

func (m *model) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}
