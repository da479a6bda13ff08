package connection

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/conntrack"
)

// maxFiltered is how many addresses are asked for one by one; of more, the whole table is read, which takes twice as long as one question.
const maxFiltered = 2

// Container is the container that a query is about: to which Remote connected.
type Container struct {
	ID        string
	Addresses []netip.Addr // of its networks
	PID       int          // of its first process, on this host; 0: not known
	Host      bool         // it has the network namespace of the host, and no addresses of its own
}

// look is one look at the connections of containers.
type look struct {
	at      time.Time
	all     bool                               // of every remote address
	tracked map[netip.Addr]map[netip.Addr]bool // remote to local, of connection tracking
	inside  map[int]map[netip.Addr]bool        // the remote ends in the namespaces of processes
	err     error                              // of connection tracking
}

// TrackErr returns why connections to containers are not known, nil if they are.
func (w *Watcher) TrackErr() error {
	w.tracking.Lock()
	defer w.tracking.Unlock()
	return w.look.err
}

// toContainers answers the queries about containers that are not in the host's network namespace.
func (w *Watcher) toContainers(queries []Query, seen []bool) error {
	now := time.Now()
	remotes := map[netip.Addr]bool{}
	for _, q := range queries {
		if q.Container != nil && !q.Container.Host {
			remotes[clean(q.Remote)] = true
		}
	}
	if len(remotes) == 0 {
		return nil
	}
	w.mu.Lock()
	maps.Copy(w.wanted, remotes)
	w.mu.Unlock()
	w.tracking.Lock()
	defer w.tracking.Unlock()
	if !w.look.at.After(now) {
		w.mu.Lock()
		remotes, w.wanted = w.wanted, map[netip.Addr]bool{}
		w.mu.Unlock()
		w.look = look{at: time.Now(), tracked: map[netip.Addr]map[netip.Addr]bool{}, inside: map[int]map[netip.Addr]bool{}}
	}
	w.look.track(remotes)
	for i, q := range queries {
		if c := q.Container; c != nil && !c.Host {
			remote := clean(q.Remote)
			seen[i] = slices.ContainsFunc(c.Addresses, func(a netip.Addr) bool { return w.look.tracked[remote][a] }) || w.look.in(c)[remote]
		}
	}
	return w.look.err
}

// track reads the connections of those of remotes that this look has not. The kernel walks its whole table for each question.
func (l *look) track(remotes map[netip.Addr]bool) {
	var asked []netip.Addr
	for remote := range remotes {
		if l.tracked[remote] == nil {
			l.tracked[remote] = map[netip.Addr]bool{}
			asked = append(asked, remote)
		}
	}
	switch {
	case len(asked) == 0 || l.all:
		return
	case len(asked) > maxFiltered:
		asked, l.all = []netip.Addr{{}}, true
	}
	for _, remote := range asked {
		l.err = conntrack.Connected(remote, func(from, local netip.Addr) {
			if l.tracked[from] == nil {
				l.tracked[from] = map[netip.Addr]bool{}
			}
			l.tracked[from][local] = true
		})
		if l.err != nil {
			return
		}
	}
}

// in returns the remote ends of the connections to ports on which c listens, by its own network namespace. There are none if this process
// may not enter it.
func (l *look) in(c *Container) map[netip.Addr]bool {
	if c.PID == 0 {
		return nil
	}
	if l.inside[c.PID] != nil {
		return l.inside[c.PID]
	}
	remotes := map[netip.Addr]bool{}
	l.inside[c.PID] = remotes
	process := filepath.Join("/proc", strconv.Itoa(c.PID))
	if !inContainer(process, c.ID) {
		return remotes
	}
	sockets, err := dumpIn(filepath.Join(process, "ns", "net"))
	if err != nil {
		return remotes
	}
	listeners := slices.DeleteFunc(slices.Clone(sockets), func(s socket) bool { return !s.listening })
	for _, s := range sockets {
		if !s.listening && accepts(listeners, s.local) {
			remotes[s.remote.Addr()] = true
		}
	}
	return remotes
}

// inContainer reports whether a process, a folder of /proc, is one of the container with the id.
func inContainer(process, id string) bool {
	groups, err := os.ReadFile(filepath.Join(process, "cgroup"))
	return err == nil && id != "" && strings.Contains(string(groups), id)
}

// of returns the listening sockets of the service of q, of a container in the host's network namespace its own ones unless they cannot be
// seen.
func (o *owners) of(sockets []socket, q Query) []socket {
	if q.Container == nil {
		return o.servers(sockets, q.Service)
	}
	own := o.owned("container "+q.Container.ID, func(process string) bool { return inContainer(process, q.Container.ID) })
	listeners := slices.DeleteFunc(slices.Clone(sockets), func(s socket) bool { return !s.listening || !own[s.inode] })
	if len(listeners) > 0 {
		return listeners
	}
	return o.servers(sockets, q.Service)
}
