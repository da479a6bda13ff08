// Package connection knows from which addresses this host's services got TCP connections: those that are open, and
// those that ended in the last minutes. The kernel reports both, so no line of a log can invent one. Connections
// whose handshake is not complete do not count: their source may be forged.
//
// It sees its own network namespace only, and is empty on other systems than Linux. Connections to containers pass through it: connection
// tracking has them, and forgets them two minutes after their end. The namespaces of containers are read where that is allowed.
package connection

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// maxAge is how long the ended connections of one generation are collected; they are remembered for one to two.
	maxAge = 5 * time.Minute
	// maxEnded bounds the ended connections of one generation.
	maxEnded = 32 << 10
	// firstEphemeral is the first port that the kernel gives outgoing connections (ip_local_port_range). One above it
	// counts only if a service listens there.
	firstEphemeral = 32768
	// restart is the pause before the kernel's reports are subscribed to again.
	restart = time.Second
)

// Query asks for a connection from Remote to Service, open now or ended since Since, or to a container.
type Query struct {
	Remote netip.Addr
	// Service is sshd or webserver, as in a Sigma logsource; nothing is known of another.
	Service string
	Since   time.Time
	// Container is the container to which Remote connected, nil: a service of the host.
	Container *Container
}

// socket is a TCP socket of this network namespace.
type socket struct {
	local, remote netip.AddrPort
	listening     bool
	inode, uid    uint32
}

// Watcher answers queries. Its methods may be called concurrently.
type Watcher struct {
	dumping sync.Mutex // one dump of the sockets at a time
	dumped  time.Time  // when it began
	sockets []socket
	servers []socket // those of sockets that listen
	owners  owners

	tracking sync.Mutex // one look at a time
	look     look

	mu        sync.Mutex
	wanted    map[netip.Addr]bool // remote ends that the next look is to include, so that callers at the same time share it
	ended     [2]generation       // the current one and the one before
	err       error               // why the kernel's reports do not come
	listening map[uint16]bool
}

// generation holds the ended connections of a time.
type generation struct {
	began time.Time
	count int
	ended map[netip.Addr]map[netip.AddrPort]time.Time // by remote and local end, when the last one ended
}

// NewWatcher returns a Watcher that remembers nothing yet.
func NewWatcher() *Watcher {
	return &Watcher{listening: map[uint16]bool{}, wanted: map[netip.Addr]bool{}}
}

// Run takes the kernel's reports of ended connections until ctx ends. It returns nil.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.watch(ctx)
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
		task.Pause(ctx, restart)
	}
	return nil
}

// Err returns why ended connections are not known, nil if they are.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Inbound reports whether there is, or was, such a connection. The error says why that is not known.
func (w *Watcher) Inbound(q Query) (bool, error) {
	seen, err := w.Seen([]Query{q})
	if seen[0] {
		return true, nil
	}
	return false, err
}

// Seen reports for each query whether there is, or was, such a connection, by one look at the sockets. The error says
// why that may not be known of the others.
func (w *Watcher) Seen(queries []Query) (seen []bool, err error) {
	seen = make([]bool, len(queries))
	err = w.toContainers(queries, seen)
	onHost := func(q Query) bool { return q.Container == nil || q.Container.Host }
	if !slices.ContainsFunc(queries, onHost) {
		return seen, err
	}
	return seen, errors.Join(err, w.toHost(queries, seen))
}

// toHost answers the queries about this network namespace.
func (w *Watcher) toHost(queries []Query, seen []bool) error {
	asked := time.Now()
	w.dumping.Lock()
	defer w.dumping.Unlock()
	if err := w.refresh(asked); err != nil {
		return err
	}
	ends := w.ends(queries)
	listeners := map[string][]socket{} // by service or container: looked up once, however many queries
	for i, q := range queries {
		of := ends[clean(q.Remote)]
		if len(of) == 0 || q.Container != nil && !q.Container.Host {
			continue // whose sockets are whose need not be looked up
		}
		key := listenersKey(q)
		if _, known := listeners[key]; !known {
			listeners[key] = w.owners.of(w.servers, q)
		}
		seen[i] = slices.ContainsFunc(of, func(e localEnd) bool { return !e.at.Before(q.Since) && accepts(listeners[key], e.local) })
	}
	return w.Err()
}

func listenersKey(q Query) string {
	if q.Container == nil {
		return q.Service
	}
	return q.Service + " " + q.Container.ID
}

// localEnd is this host's end of a connection that is open at a time, or ended then.
type localEnd struct {
	local netip.AddrPort
	at    time.Time
}

// ends returns the connections with the remote addresses of queries. w.dumping is held.
func (w *Watcher) ends(queries []Query) map[netip.Addr][]localEnd {
	found := make(map[netip.Addr][]localEnd, len(queries))
	for _, q := range queries {
		found[clean(q.Remote)] = nil
	}
	for _, s := range w.sockets {
		if of, asked := found[s.remote.Addr()]; asked && !s.listening {
			found[s.remote.Addr()] = append(of, localEnd{s.local, w.dumped})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for remote, of := range found {
		for _, g := range w.ended {
			for local, at := range g.ended[remote] {
				of = append(of, localEnd{local, at})
			}
		}
		found[remote] = of
	}
	return found
}

func clean(remote netip.Addr) netip.Addr { return remote.Unmap().WithZone("") }

// accepts reports whether one of listeners takes the connections to local.
func accepts(listeners []socket, local netip.AddrPort) bool {
	return slices.ContainsFunc(listeners, func(l socket) bool {
		at := l.local.Addr()
		return l.local.Port() == local.Port() && (at == local.Addr() || at.IsUnspecified())
	})
}

// refresh lists the sockets unless that was done after asked: callers at the same time share a list. w.dumping is held.
func (w *Watcher) refresh(asked time.Time) error {
	if w.dumped.After(asked) {
		return nil
	}
	began := time.Now()
	sockets, err := dump()
	if err != nil {
		return err
	}
	w.dumped, w.sockets = began, sockets
	w.servers = slices.DeleteFunc(slices.Clone(sockets), func(s socket) bool { return !s.listening })
	w.noteListening(w.servers)
	return nil
}

func (w *Watcher) noteListening(servers []socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.listening)
	for _, s := range servers {
		w.listening[s.local.Port()] = true
	}
}

// remember notes that the connection s ended at a time.
func (w *Watcher) remember(s socket, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.local.Port() >= firstEphemeral && !w.listening[s.local.Port()] {
		return // an outgoing one
	}
	if g := w.ended[0]; g.ended == nil || g.count >= maxEnded || at.Sub(g.began) >= maxAge {
		w.ended[0], w.ended[1] = generation{began: at, ended: map[netip.Addr]map[netip.AddrPort]time.Time{}}, g
	}
	g := &w.ended[0]
	locals := g.ended[s.remote.Addr()]
	if locals == nil {
		locals = map[netip.AddrPort]time.Time{}
		g.ended[s.remote.Addr()] = locals
	}
	if _, known := locals[s.local]; !known {
		g.count++
	}
	locals[s.local] = at
}
