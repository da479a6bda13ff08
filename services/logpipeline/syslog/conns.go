package syslog

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// openConn is an open connection over TCP or TLS.
type openConn struct {
	net.Conn
	transport string        // TCP or TLS
	peer      string        // its sequenceName
	active    atomic.Int64  // Unix time in ns of the last complete message, or of the connection's begin
	secured   net.Conn      // over the connection, of TLS
	evicted   chan struct{} // closed when it gave way to another connection
}

// connTable holds the open TCP connections within Config.MaxConns and Config.MaxConnsPerPeer. A new connection is never refused:
// of its own peer if that has its share, else of the peer with the most connections, the one that was without a message
// the longest gives way. So whoever holds places idle keeps nobody out.
type connTable struct {
	mu      sync.Mutex
	open    map[*openConn]struct{}
	perPeer map[string]int
}

func newConnTable() *connTable {
	return &connTable{open: map[*openConn]struct{}{}, perPeer: map[string]int{}}
}

// gaveWay is a connection that was closed for another one.
type gaveWay struct{ reason, peer string }

// add adds c. closed are the connections that gave way.
func (t *connTable) add(c net.Conn, transport string, maxConns, maxPerPeer int) (added *openConn, closed []gaveWay) {
	added = &openConn{Conn: c, transport: transport, evicted: make(chan struct{})}
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		added.peer = sequenceName(transport, addr.AddrPort().Addr())
	}
	added.active.Store(time.Now().UnixNano())
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.perPeer[added.peer] >= maxPerPeer {
		peer := t.evictIdlest(func(o *openConn) bool { return o.peer == added.peer })
		closed = append(closed, gaveWay{ClosePeerLimit, peer})
	}
	for len(t.open) >= maxConns {
		most := 0
		for _, n := range t.perPeer {
			most = max(most, n)
		}
		peer := t.evictIdlest(func(o *openConn) bool { return t.perPeer[o.peer] == most })
		closed = append(closed, gaveWay{CloseLimit, peer})
	}
	t.open[added] = struct{}{}
	t.perPeer[added.peer]++
	return added, closed
}

// evictIdlest closes one of the connections that may be closed, of which there is one, and returns its peer. t.mu is held.
func (t *connTable) evictIdlest(may func(*openConn) bool) (peer string) {
	var idlest *openConn
	for o := range t.open {
		if may(o) && (idlest == nil || o.active.Load() < idlest.active.Load()) {
			idlest = o
		}
	}
	t.remove(idlest)
	close(idlest.evicted)
	_ = idlest.Close() // its reader sees it closed
	return idlest.peer
}

// remove forgets o if it is still there. t.mu is held.
func (t *connTable) remove(o *openConn) {
	if _, ok := t.open[o]; !ok {
		return
	}
	delete(t.open, o)
	if t.perPeer[o.peer]--; t.perPeer[o.peer] == 0 {
		delete(t.perPeer, o.peer)
	}
}

// done closes and forgets o.
func (t *connTable) done(o *openConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(o)
	_ = o.Close() // it was read to its end, or is given up
}

// closeAll closes all connections.
func (t *connTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for o := range t.open {
		_ = o.Close() // its reader sees it closed
	}
}

func (t *connTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}
