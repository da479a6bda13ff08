//go:build accept

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const edgePipeline = bus.LogPipeline + ".edge-1"

// The alert stream of 24 MiB is filled. While the guard's durable has nothing to read,
// no producer blocks. While it is stalled all producers wait, and the tailer with them;
// once it continues every alert is stored once, and observers see exactly those.
func TestAcceptFullAlertStream(t *testing.T) {
	s := newInstance(t)
	s.replace("[bus]", "[bus]\nmax_store_bytes = 67108864\nalerts_in_flight = 16")
	s.replace("[log_pipeline]", "[container]\nenabled = true\ndocker_socket = "+strconv.Quote(s.path("nodocker.sock"))+"\n[log_pipeline]")
	remote := s.listen(remoteGuard, edgePipeline)
	s.start()
	seen := s.observe()
	edge := newEdge(t, remote.connect(edgePipeline))

	edge.publish(2*alertsPerStream, nil) // the guard's durable is for another host: it has nothing to read
	t.Logf("quiet durable: %d alerts of 40 KiB through a stream of 24 MiB, longest wait %v (bar 5s)", edge.sent, edge.slowest)
	require.Less(t, edge.slowest, 5*time.Second)

	release := s.stallGuardDurable(remote.connect(remoteGuard))
	w := s.startLoad(5 * time.Millisecond)
	stop := make(chan struct{})
	edgeDone := make(chan struct{})
	go func() { defer close(edgeDone); edge.publish(4*alertsPerStream, stop) }()
	s.eventually(func() bool {
		return strings.Contains(s.reasons(), "log-pipeline: publishing to IRONPOST_ALERTS blocked") &&
			strings.Contains(s.reasons(), "container-guard: IRONPOST_ALERTS is nearly full and container-guard_stage is behind")
	})
	t.Logf("stalled durable, health says: %s", s.reasons())
	before, appended := s.lastSeq(), w.file.Load()
	time.Sleep(3 * time.Second)
	t.Logf("in 3 s: %d alerts stored (bar 0), %d lines appended that wait in their file", s.lastSeq()-before, w.file.Load()-appended)
	require.Equal(t, before, s.lastSeq())
	require.Greater(t, w.file.Load(), appended)

	release()
	released := time.Now()
	s.eventually(func() bool { return s.lastSeq() > before })
	t.Logf("released: the next alert was stored after %v (bar 15s)", time.Since(released).Round(time.Millisecond))
	require.Less(t, time.Since(released), 15*time.Second)
	close(stop)
	<-edgeDone
	w.stop()
	s.eventually(func() bool { return seen.users()[fmt.Sprintf("file%d", w.file.Load()-1)] > 0 })
	seen.requireEveryAlertOnce(t, s, w, edge)
}

// edge publishes large alerts about another host, one after the other.
type edge struct {
	t       *testing.T
	p       *bus.Publisher
	sent    int
	slowest time.Duration
}

// alertsPerStream is how many alerts of an edge fill the stream.
const alertsPerStream = 24 << 20 / (40 << 10)

func newEdge(t *testing.T, conn *bus.Conn) *edge {
	t.Helper()
	p, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: "edge-1"})
	require.NoError(t, err)
	return &edge{t: t, p: p}
}

// publish sends n alerts, or fewer if stop is closed.
func (e *edge) publish(n int, stop <-chan struct{}) {
	evidence := make([]string, 20)
	for i := range evidence {
		evidence[i] = strings.Repeat("x", 2000)
	}
	for range n {
		select {
		case <-stop:
			return
		default:
		}
		now := time.Now().UTC()
		began := time.Now()
		err := e.p.Publish(context.WithoutCancel(e.t.Context()), &event.Alert{
			ID: fmt.Sprintf("edge-%06d", e.sent), Schema: event.Schema, Time: now, FirstSeen: now, LastSeen: now, Count: 1,
			Module: bus.LogPipeline, Host: "edge-1", Rule: event.Rule{ID: "r", Title: "t", Level: event.Low},
			Severity: event.Low, Title: "t", DedupKey: "k", Evidence: evidence,
		})
		if err != nil {
			e.t.Errorf("edge: %v", err)
			return
		}
		e.sent++
		e.slowest = max(e.slowest, time.Since(began))
	}
}

// stallGuardDurable takes as many alerts as the guard's durable may have in flight and does
// not acknowledge them, like a guard that hangs, until release is called.
func (s *instance) stallGuardDurable(conn *bus.Conn) (release func()) {
	s.t.Helper()
	d, ok := bus.DurableOf(bus.ContainerGuard, bus.Alerts, testHost, bus.InFlight{Alerts: 16})
	require.True(s.t, ok)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	free, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- conn.ConsumeBatches(ctx, d, bus.ConsumeOptions{Host: testHost}, func(context.Context, []bus.Delivery) []error {
			<-free
			return nil
		})
	}()
	var once atomic.Bool
	release = func() {
		if once.CompareAndSwap(false, true) {
			close(free)
			cancel()
			require.NoError(s.t, <-done)
		}
	}
	s.t.Cleanup(release)
	return release
}

// lastSeq returns the last sequence of the alert stream: how many alerts were stored.
func (s *instance) lastSeq() uint64 {
	s.t.Helper()
	conn, err := bus.DialSocket(s.t.Context(), s.path("bus.sock"))
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, conn.Close(s.t.Context())) }()
	states, err := conn.StreamStates(s.t.Context(), nil)
	require.NoError(s.t, err)
	for _, state := range states {
		if state.Name == bus.Alerts {
			return state.LastSeq
		}
	}
	s.t.Fatal("there is no alert stream")
	return 0
}

// observed counts the alerts that an operator received. Observers without a key get a copy that may skip some in a burst.
type observed struct {
	mu     sync.Mutex
	ids    map[string]int
	firsts map[string]int // by user
	early  int            // lines written until it received the first alert
}

func (s *instance) observe() *observed {
	s.t.Helper()
	o := &observed{ids: map[string]int{}, firsts: map[string]int{}}
	operator, err := bus.DialSocket(s.t.Context(), s.path("bus.sock"))
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- operator.Follow(ctx, bus.RepublishedAlerts, func(_ string, _ map[string][]string, data []byte) {
			var a event.Alert
			if err := event.Decode(data, &a); err != nil {
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.ids[a.ID]++
			if a.User != "" && !a.Update {
				o.firsts[a.User]++
			}
		})
	}()
	s.t.Cleanup(func() {
		cancel()
		require.NoError(s.t, <-ended)
		require.NoError(s.t, operator.Close(context.WithoutCancel(ctx)))
	})
	for n := 0; o.count() == 0; n++ { // the subscription holds from some moment on
		s.append([]byte(rootShell(fmt.Sprintf("early%d", n))))
		s.eventually(func() bool { return int(s.lastSeq()) > n })
		o.early = n + 1
	}
	return o
}

// users counts the first alerts by user.
func (o *observed) users() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	users := make(map[string]int, len(o.firsts))
	maps.Copy(users, o.firsts)
	return users
}

// count returns how many ids were seen.
func (o *observed) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.ids)
}

// missed returns how many alerts of early lines were not received.
func (o *observed) missed() (n int) {
	users := o.users()
	for i := range o.early {
		if users[fmt.Sprintf("early%d", i)] == 0 {
			n++
		}
	}
	return n
}

// requireEveryAlertOnce compares the lines and alerts that were sent with those observed.
func (o *observed) requireEveryAlertOnce(t *testing.T, s *instance, w *writers, e *edge) {
	t.Helper()
	s.eventually(func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.ids[fmt.Sprintf("edge-%06d", e.sent-1)] > 0 })
	stored := 0
	s.eventually(func() bool { stored = int(s.lastSeq()) - o.missed(); return o.count() >= stored }) // ending windows add updates
	users := o.users()
	o.mu.Lock()
	defer o.mu.Unlock()
	lost, twice := 0, 0
	for n := range w.file.Load() {
		if users[fmt.Sprintf("file%d", n)] == 0 {
			lost++
		}
	}
	for n := range e.sent {
		if o.ids[fmt.Sprintf("edge-%06d", n)] == 0 {
			lost++
		}
	}
	for _, n := range o.ids {
		if n > 1 {
			twice++
		}
	}
	for _, n := range users {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d lines and %d remote alerts: lost %d (bar 0), seen twice %d (bar 0); an operator saw %d ids, stored were %d (bar: equal)",
		w.file.Load(), e.sent, lost, twice, len(o.ids), stored)
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Equal(t, stored, len(o.ids)) //nolint:testifylint // thousands of ids would not be readable
}
