package bus_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// stalling is a way to the server on which nothing arrives while it is held.
type stalling struct {
	bus.InProcess

	mu sync.Mutex
}

func (s *stalling) InProcessConn() (net.Conn, error) {
	c, err := s.InProcess.InProcessConn()
	return &stalled{Conn: c, s: s}, err
}

type stalled struct {
	net.Conn
	s *stalling
}

func (c *stalled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return n, err
}

// A machine may be so busy that a heartbeat is missed. What the server sent before is
// not crowded out by what is asked for then: that came again after 30 s only.
func TestConsumeLosesNothingToAMissedHeartbeat(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	o := b.Options(bus.ContainerGuard)
	way := &stalling{InProcess: o.InProcess}
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
	require.Eventually(t, func() bool { return conn.MissedHeartbeats() > 0 }, patience, time.Millisecond)
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
