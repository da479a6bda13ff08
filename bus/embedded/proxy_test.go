package embedded_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

func TestObserverAboveTheLimitOfItsUserIsRejected(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	for range 8 { // of one user
		b.Observer()
	}
	c, err := net.Dial("tcp", b.Server().ObserverAddr())
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	line, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "-ERR 'maximum connections exceeded'\r\n", string(line))
	require.Equal(t, uint64(8), b.Server().Stats().Clients["observer"])
	require.Equal(t, uint64(1), b.Server().Stats().Refused["observer"])
	_, err = bus.DialSocket(within(t), b.Socket())
	require.NoError(t, err, "operators have slots of their own")
}

func TestGarbageEndsOnlyItsConnection(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	js := publisher(t, b)
	noise := make([]byte, 64<<10)
	_, err := rand.Read(noise)
	require.NoError(t, err)
	for _, garbage := range []string{
		string(noise), "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "CONNECT {\r\n",
		"CONNECT " + strings.Repeat("{", 4000) + "\r\n", "PUB ironpost.alerts 99999999999\r\n", "PUB ironpost.alerts -1\r\n",
		"CONNECT {}\r\nPUB ironpost.alerts 2\r\n{}\r\n", strings.Repeat("A", 1<<20), "SUB > 1\r\n", "HPUB $SRV.PING 1 0\r\n",
		"RS+ x\r\n", "LS+ x\r\n", "A+ x\r\n", "INFO {}\r\n", "\x00", "\r\n\r\n\r\n",
	} {
		for _, listener := range [][2]string{{"tcp", b.Server().ObserverAddr()}, {"unix", b.Socket()}} {
			sendGarbage(t, listener, garbage)
		}
	}
	alert(t, b, js, "still here")
	require.Equal(t, uint64(1), stored(t, jetStream(t, b), "IRONPOST_ALERTS"))
	require.Empty(t, b.Server().Health())
	require.Eventually(t, func() bool {
		clients := b.Server().Stats().Clients
		return clients["observer"] == 0 && clients["socket"] == 0
	}, patience, 10*time.Millisecond)
}

// sendGarbage writes garbage and closes. The other side may have closed before.
func sendGarbage(t *testing.T, listener [2]string, garbage string) {
	t.Helper()
	c, err := net.Dial(listener[0], listener[1])
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, garbage)
}

// A client that sends nothing does not keep its slot for long.
func TestSilentClientsAreDisconnected(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	for _, listener := range [][2]string{{"tcp", b.Server().ObserverAddr()}, {"unix", b.Socket()}} {
		c, err := net.Dial(listener[0], listener[1])
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		received, err := io.ReadAll(c)
		require.NoError(t, err, "closed by the server")
		require.True(t, strings.HasSuffix(string(received), "-ERR 'authentication timeout'\r\n"), "%q", received)
	}
	require.Eventually(t, func() bool {
		refused := b.Server().Stats().Refused
		return refused["observer"] == 1 && refused["socket"] == 1
	}, patience, time.Millisecond)
}

// A subscriber that never reads is dropped, and costs producers nothing.
func TestStuckObserver(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(evidence))
	stuck(t, b, bus.RepublishedAlerts)
	js := publisher(t, b)
	payload := strings.Repeat("x", 60<<10)
	for range 600 { // 35 MiB: over what the server keeps for one client and all buffers on the way
		alert(t, b, js, payload)
	}
	require.Eventually(t, func() bool { return b.Server().Stats().Clients["observer"] == 0 },
		patience, 10*time.Millisecond, "its slot is free again")
	require.Positive(t, b.Server().Stats().SlowConsumers)
}

// Health reaches observers directly, without a stream: by default the server would make the
// publisher wait for a slow one.
func TestStuckObserverDoesNotStallItsPublisher(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	stuck(t, b, bus.HealthSubject)
	nc := b.Raw(bus.Daemon)
	payload := make([]byte, 60<<10)
	for range 600 {
		require.NoError(t, nc.Publish(bus.HealthSubject, payload))
	}
	require.NoError(t, nc.FlushTimeout(patience))
	require.Zero(t, b.Server().Stats().Stalled)
}

// stuck subscribes to subject and never reads again.
func stuck(t testing.TB, b *bustest.Bus, subject string) {
	t.Helper()
	c, err := net.Dial("tcp", b.Server().ObserverAddr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB "+subject+" 1\r\nPING\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		if strings.HasPrefix(line, "PONG") {
			return
		}
	}
}

// BenchmarkAlertsBesideAStuckObserver prints how much of the rate is left, both
// measured in turns in one run.
func BenchmarkAlertsBesideAStuckObserver(b *testing.B) {
	free, held := bustest.New(b), bustest.New(b)
	stuck(b, held, bus.RepublishedAlerts)
	freeJS, heldJS := publisher(b, free), publisher(b, held)
	var freeTime, heldTime time.Duration
	for b.Loop() {
		freeTime += burst(b, free, freeJS)
		heldTime += burst(b, held, heldJS)
	}
	b.ReportMetric(float64(freeTime)/float64(heldTime), "rate_left")
}

func burst(b *testing.B, on *bustest.Bus, js jetstream.JetStream) time.Duration {
	b.Helper()
	begin := time.Now()
	for n := range 200 {
		_, err := js.Publish(context.Background(), bus.AlertSubject(bus.LogPipeline, on.Host()), fmt.Appendf(nil, "%01024d", n))
		require.NoError(b, err)
	}
	return time.Since(begin)
}
