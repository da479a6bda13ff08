// Package egress senses the TCP connections that containers begin to addresses beyond their own networks. Connection tracking reports
// each, however short, if the packets of the container pass through this network namespace, as those of bridge networks do. Containers in
// the network of the host, and those of macvlan and the like, are looked at every few seconds; shorter connections of these are not seen.
//
// A connection counts when its handshake is complete, and the container was seen to have its socket: any container with CAP_NET_RAW can send
// packets with the address of a neighbour on its network, and its peer can answer so that the answer ends at this host, where connection tracking
// sees it, and the neighbour does not. So UDP does not count, nor what a peer reset at once. Where this process may not enter the network namespace of
// the container, the handshake alone counts.
package egress

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	maxAttempts   = 1024                  // that wait to be complete; beyond it they are dropped and counted, and the whole table is read
	firstCheck    = 10 * time.Millisecond // after the report of an attempt; then twice as late each time
	maxAttemptAge = 10 * time.Second
	restart       = time.Second      // before the reports are subscribed to again
	tableInterval = 10 * time.Second // between two reads of the whole table after a loss
	tableRefresh  = time.Hour        // long connections are in use
	pollInterval  = 2 * time.Second  // of containers that connection tracking does not see
)

// Connection is one that a container began. Its handshake is complete.
type Connection struct {
	Container docker.Container
	To        netip.AddrPort
}

// Options configures a Sensor. Its functions are called by one goroutine, but Known, which is called by several.
type Options struct {
	Containers func() []docker.Container
	ByAddress  func(ctx context.Context, address netip.Addr, at time.Time) (docker.Container, error)
	Known      func(c docker.Container, to netip.Addr) bool // the connection is of no interest
	Present    func(c docker.Container)                     // it is running
	Found      func(ctx context.Context, c Connection)
	Log        logrus.FieldLogger
}

// Sensor watches. Its methods but Run may be called concurrently.
type Sensor struct {
	options  Options
	attempts chan conntrack.Connection
	changed  chan struct{} // holds one if containers changed
	missed   chan struct{} // holds one if attempts were lost
	dropped  atomic.Uint64
	view     atomic.Pointer[view]

	mu       sync.Mutex
	tracking error // why the kernel reports no connections
	polling  error // why a container was not looked at
}

// New returns a Sensor that senses nothing before Run.
func New(o Options) *Sensor {
	s := &Sensor{options: o, attempts: make(chan conntrack.Connection, maxAttempts), changed: make(chan struct{}, 1), missed: make(chan struct{}, 1)}
	s.view.Store(&view{})
	return s
}

// Changed says that a container changed.
func (s *Sensor) Changed() { signal(s.changed) }

// Dropped returns how many attempts there was no room for.
func (s *Sensor) Dropped() uint64 { return s.dropped.Load() }

// Err returns why connections of containers that run are not sensed, nil if they are.
func (s *Sensor) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polling != nil {
		return s.polling
	}
	if len(s.view.Load().tracked) > 0 {
		return s.tracking
	}
	return nil
}

// Run senses until ctx ends, and returns nil.
func (s *Sensor) Run(ctx context.Context) error {
	g := task.New(ctx)
	g.Go("reports of connections", s.report)
	g.Go("connections of containers", s.check)
	return g.Wait()
}

// report passes on what the kernel reports.
func (s *Sensor) report(ctx context.Context) error {
	for ctx.Err() == nil {
		s.setTracking(trackingProblem())
		err := conntrack.Watch(ctx, s.attempt, func() { signal(s.missed) })
		if ctx.Err() == nil {
			s.setTracking(err)
			task.Pause(ctx, restart)
			signal(s.missed)
		}
	}
	return nil
}

// attempt takes the attempt of a container to connect beyond its networks, unless the container has connected there before.
func (s *Sensor) attempt(c conntrack.Connection) {
	v := s.view.Load()
	if !v.leaves(c) {
		return
	}
	if from, known := v.byAddress[c.From.Addr()]; known && s.options.Known(from, c.To.Addr()) {
		return
	}
	select {
	case s.attempts <- c:
	default:
		s.dropped.Add(1)
		signal(s.missed)
	}
}

func (s *Sensor) setTracking(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracking = err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pendingAttempt is one whose handshake was not complete yet, or whose socket was not seen.
type pendingAttempt struct {
	conntrack.Connection
	seenIn string // the id of the container that has its socket, "" before it was seen
	at     time.Time
	next   time.Time
	wait   time.Duration
}

// check confirms attempts, looks at what the reports do not have, and keeps the view of the containers up to date.
func (s *Sensor) check(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var pending []pendingAttempt
	var read time.Time // the table
	for s.refresh(); ; {
		due := time.NewTimer(untilDue(pending))
		select {
		case <-ctx.Done():
			due.Stop()
			return nil
		case <-s.changed:
			s.refresh()
		case c := <-s.attempts:
			pending = s.add(pending, c)
		case <-due.C:
			pending = s.confirm(ctx, pending)
		case now := <-tick.C:
			s.refresh()
			s.poll(ctx)
			if now.Sub(read) >= tableRefresh || now.Sub(read) >= tableInterval && len(s.missed) > 0 {
				read = now
				s.readTable(ctx)
			}
		}
		due.Stop()
	}
}

func untilDue(pending []pendingAttempt) time.Duration {
	if len(pending) == 0 {
		return time.Hour
	}
	next := slices.MinFunc(pending, func(a, b pendingAttempt) int { return a.next.Compare(b.next) }).next
	return max(0, time.Until(next))
}

func (s *Sensor) add(pending []pendingAttempt, c conntrack.Connection) []pendingAttempt {
	if len(pending) >= maxAttempts {
		pending = pending[1:]
		s.dropped.Add(1)
		signal(s.missed)
	}
	now := time.Now()
	p := pendingAttempt{Connection: c, at: now, next: now.Add(firstCheck), wait: firstCheck}
	if from, known := s.view.Load().byAddress[c.From.Addr()]; known && began(from, c) {
		p.seenIn = from.ID // now: the socket of a short connection is gone soon
	}
	return append(pending, p)
}

// began reports whether the container has the socket of c, or this process may not look.
func began(from docker.Container, c conntrack.Connection) bool {
	seen, err := connection.Began(connection.Container{ID: from.ID, PID: from.PID}, c.From, c.To)
	return seen || err != nil
}

// confirm passes on the attempts whose handshake is complete by now, and returns those that may still be.
func (s *Sensor) confirm(ctx context.Context, pending []pendingAttempt) (left []pendingAttempt) {
	now := time.Now()
	for _, p := range pending {
		if p.next.After(now) {
			left = append(left, p)
			continue
		}
		complete, known, err := conntrack.Complete(p.Connection)
		if complete && s.found(ctx, p) || err == nil && !known {
			continue
		}
		p.wait *= 2
		if p.next = now.Add(p.wait); now.Sub(p.at) < maxAttemptAge {
			left = append(left, p)
		}
	}
	return left
}

// found passes on a connection whose handshake is complete, if its container began it. It returns false if the container is not known yet.
func (s *Sensor) found(ctx context.Context, p pendingAttempt) bool {
	container, err := s.options.ByAddress(ctx, p.From.Addr(), p.at)
	if err != nil {
		return false
	}
	if p.seenIn == container.ID || began(container, p.Connection) {
		s.pass(ctx, container, p.To)
	}
	return true
}

func (s *Sensor) pass(ctx context.Context, c docker.Container, to netip.AddrPort) {
	if !ofOwnNetwork(c, to.Addr()) && !s.view.Load().resolver(to) && !s.options.Known(c, to.Addr()) {
		s.options.Found(ctx, Connection{Container: c, To: to})
	}
}

// readTable passes on the connections that the kernel's table has.
func (s *Sensor) readTable(ctx context.Context) {
	select {
	case <-s.missed:
	default:
	}
	v := s.view.Load()
	var leaving []conntrack.Connection
	err := conntrack.All(func(c conntrack.Connection) {
		from, known := v.byAddress[c.From.Addr()]
		switch {
		case !v.leaves(c) || known && s.options.Known(from, c.To.Addr()):
		case len(leaving) < maxAttempts:
			leaving = append(leaving, c)
		default:
			s.dropped.Add(1)
			signal(s.missed) // by then these are known
		}
	})
	if err != nil {
		s.options.Log.WithError(err).Warn("cannot read the table of connections: those of containers that are open already are not known")
	}
	now := time.Now()
	for _, c := range leaving {
		s.found(ctx, pendingAttempt{Connection: c, at: now})
	}
}

// poll looks at the containers whose connections are not tracked.
func (s *Sensor) poll(ctx context.Context) {
	v := s.view.Load()
	looked := v.untracked
	if s.trackingErr() != nil {
		looked = append(slices.Clone(looked), v.tracked...)
	}
	var problem error
	for _, c := range looked {
		remotes, err := connection.Begun(connection.Container{ID: c.ID, PID: c.PID, Host: c.NetworkMode == "host"})
		if err != nil && problem == nil {
			problem = err
		}
		for _, to := range remotes {
			s.pass(ctx, c, to)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polling = problem
}

func (s *Sensor) trackingErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tracking
}
