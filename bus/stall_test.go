package bus_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// stallable is a way to the server on which nothing arrives while it is locked. What
// the server sends meanwhile is buffered, as in a socket.
type stallable struct {
	bus.InProcess

	mu sync.Mutex
}

func (s *stallable) InProcessConn() (net.Conn, error) {
	c, err := s.InProcess.InProcessConn()
	if err != nil {
		return nil, err
	}
	sent := make(chan []byte, 4096)
	go func() {
		defer close(sent)
		for {
			buf := make([]byte, 64<<10)
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			sent <- buf[:n]
		}
	}()
	return &stallableConn{Conn: c, s: s, sent: sent}, nil
}

type stallableConn struct {
	net.Conn
	s    *stallable
	sent <-chan []byte
	rest []byte // of what was taken from sent
}

func (c *stallableConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		var open bool
		if c.rest, open = <-c.sent; !open {
			return 0, io.EOF
		}
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// On a busy machine an answer may come too late. What the server sent before is not lost to
// the next request, which would mean a redelivery after 30 s.
func TestConsumeLosesNothingToALateAnswer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	o := b.Options(bus.ContainerGuard)
	way := &stallable{InProcess: o.InProcess}
	o.InProcess = way
	conn, err := bus.Connect(within(t, patience), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(within(t, patience)) })

	ctx, cancel := context.WithCancel(within(t, patience))
	d := durable(t, b, bus.ContainerGuard)
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ids := make(chan string, 1000)
	var once sync.Once
	go func() {
		done <- conn.Consume(ctx, d, bus.ConsumeOptions{Host: b.Host()}, func(_ context.Context, d bus.Delivery) error {
			once.Do(func() { close(entered) })
			<-release
			ids <- d.ID
			return nil
		})
	}()
	require.Eventually(t, func() bool { return state(t, b, bus.Alerts).Durables[0].Waiting > 0 }, patience, time.Millisecond)

	way.mu.Lock()
	recs := alerts(b.Host(), 0, 200)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), recs...))
	require.Eventually(t, func() bool { return conn.UnansweredPulls() > 0 }, patience, time.Millisecond)
	way.mu.Unlock()
	<-entered
	require.Eventually(t, func() bool { return state(t, b, bus.Alerts).Durables[0].AckPending >= 64 }, patience, time.Millisecond)
	began := time.Now()
	close(release)
	got := map[string]bool{}
	for len(got) < len(recs) {
		got[<-ids] = true
	}
	require.Less(t, time.Since(began), 20*time.Second)
	cancel()
	require.NoError(t, <-done)
}

// What is not requested stays at the server, for another consumer, and does not wait behind
// a slow handler.
func TestConsumeRequestsNoMoreThanItHandles(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	slow := func(context.Context, bus.Delivery) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	o := bus.ConsumeOptions{Prefetch: 1, Drain: patience}
	first := consume(t, b, bus.ContainerGuard, o, slow)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(within(t, patience), alerts(b.Host(), 0, 2)...))
	<-entered
	require.Never(t, func() bool { return state(t, b, bus.Alerts).Durables[0].AckPending > 1 }, 2*time.Second, 10*time.Millisecond)
	second := consume(t, b, bus.ContainerGuard, o, slow)
	<-entered
	close(release)
	first.finish(t)
	second.finish(t)
}

// A stop while deliveries arrive leaves none behind that is redelivered only after the 30 s
// of AckWait.
func TestStopWhileDeliveriesArriveLosesNone(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	ctx, cancel := context.WithCancel(context.Background())
	published, sent := make(chan error, 1), 0
	go func() {
		for ; ctx.Err() == nil; sent++ {
			if err := p.Publish(context.WithoutCancel(ctx), alerts(b.Host(), sent, 1)...); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	handled := map[string]bool{}
	for range 20 {
		c := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{}, accept)
		c.wait(t, 20)
		c.finish(t)
		for _, id := range c.handled() {
			handled[id] = true
		}
	}
	cancel()
	require.NoError(t, <-published)
	last := consume(t, b, bus.ContainerGuard, bus.ConsumeOptions{Drain: patience}, accept)
	began := time.Now()
	last.finish(t)
	require.Less(t, time.Since(began), 20*time.Second)
	for _, id := range last.handled() {
		handled[id] = true
	}
	require.Len(t, handled, sent)
}
