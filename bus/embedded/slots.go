package embedded

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// limits bound the connections of a listener, so that no source of them keeps others out.
type limits struct {
	total      int // connections
	pending    int // of them, those that have shown no key yet
	fromSource int // of the pending, those of one source
	perKey     int // with one key
}

// slots are the connections of a listener. They are safe for concurrent use.
type slots struct {
	limits limits

	mu       sync.Mutex
	closed   bool
	pending  map[net.Conn]slot
	admitted map[net.Conn]slot
	evicted  int // connections that take closed, and that are not released yet
}

// slot is one connection: where it comes from, since when, and its key.
type slot struct {
	addr  netip.Addr // none on a unix socket
	since time.Time
	key   string
	ends  time.Time // its certificate; zero without one
}

var (
	errNoSlot     = errors.New("too many connections have shown no key yet")
	errKeyTooMany = errors.New("too many connections with this key")
)

func newSlots(l limits) *slots {
	return &slots{limits: l, pending: map[net.Conn]slot{}, admitted: map[net.Conn]slot{}}
}

// take takes a slot for c, if one is free. Above a limit the oldest connection that has shown no key yet gives way: whoever
// opens many keeps out only those that take longer to show a key than he to open as many again.
func (s *slots) take(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.admitted) >= s.limits.total || s.evicted >= s.limits.pending {
		return false
	}
	next := slot{addr: addressOf(c), since: time.Now()}
	same, oldest := s.oldestPending(func(other slot) bool { return source(other.addr) == source(next.addr) })
	if same < s.limits.fromSource {
		_, oldest = s.oldestPending(func(slot) bool { return true })
	}
	if same >= s.limits.fromSource || len(s.pending) >= s.limits.pending || len(s.pending)+len(s.admitted) >= s.limits.total {
		_ = oldest.Close() // ends its goroutine, which releases it
		delete(s.pending, oldest)
		s.evicted++
	}
	s.pending[c] = next
	return true
}

// oldestPending returns how many pending connections are of a kind, and the oldest of them, nil if there are none.
func (s *slots) oldestPending(ofKind func(slot) bool) (n int, oldest net.Conn) {
	for c, held := range s.pending {
		if !ofKind(held) {
			continue
		}
		n++
		if oldest == nil || held.since.Before(s.pending[oldest].since) {
			oldest = c
		}
	}
	return n, oldest
}

// admit notes that c has shown this key, and a certificate that ends at a time, or none. It fails if there are too many with it, or if take closed c meanwhile.
func (s *slots) admit(c net.Conn, key string, certificateEnds time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.pending[c]
	if !ok {
		return errNoSlot
	}
	same := 0
	for _, other := range s.admitted {
		if other.key == key {
			same++
		}
	}
	if same >= s.limits.perKey {
		return errKeyTooMany
	}
	delete(s.pending, c)
	held.key, held.ends = key, certificateEnds
	s.admitted[c] = held
	return nil
}

// certificateEnds returns when the certificates end that were shown, the first of each key.
func (s *slots) certificateEnds() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends := map[string]time.Time{}
	for _, held := range s.admitted {
		if first, ok := ends[held.key]; !held.ends.IsZero() && (!ok || held.ends.Before(first)) {
			ends[held.key] = held.ends
		}
	}
	return ends
}

// release frees the slot of c, which take took.
func (s *slots) release(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, pending := s.pending[c]
	_, admitted := s.admitted[c]
	if !pending && !admitted {
		s.evicted--
	}
	delete(s.pending, c)
	delete(s.admitted, c)
}

// close closes every connection, and takes none any more. It returns false if it was called before.
func (s *slots) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.closed = true
	for _, held := range []map[net.Conn]slot{s.pending, s.admitted} {
		for c := range held {
			_ = c.Close() // ends its splice
		}
	}
	return true
}

// count returns how many connections there are.
func (s *slots) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) + len(s.admitted)
}

// peers returns the addresses of the connections that have shown a key, sorted, each once.
func (s *slots) peers() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var peers []netip.Addr
	for _, held := range s.admitted {
		if held.addr.IsValid() {
			peers = append(peers, held.addr)
		}
	}
	slices.SortFunc(peers, netip.Addr.Compare)
	return slices.Compact(peers)
}

// addressOf returns the address of the other end of c, none on a unix socket.
func addressOf(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// source returns the network that addr counts to: of IPv6 the /64, of which one machine has every address.
func source(addr netip.Addr) netip.Addr {
	const network = 64
	if addr.Is6() {
		return netip.PrefixFrom(addr, network).Masked().Addr()
	}
	return addr
}
