//go:build accept

package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// An idle daemon with its defaults starts within 0.5 s and stays below 60 MB.
func TestAcceptIdle(t *testing.T) {
	const (
		starts  = 9
		quick   = 500 * time.Millisecond
		watched = 15 * time.Second // memory of the start is returned by then, or never
	)
	s := newInstance(t)
	var took []time.Duration
	for range starts {
		began := time.Now()
		s.start()
		took = append(took, time.Since(began))
		require.Zero(t, s.stop(syscall.SIGTERM))
	}
	slices.Sort(took)
	s.start()
	var most resident
	for began := time.Now(); time.Since(began) < watched; time.Sleep(100 * time.Millisecond) {
		most = larger(most, s.resident())
	}
	t.Logf("ready after %v, slowest %v (bar 0.5s); resident at most %v in %v (bar 60 MB)",
		took[len(took)/2], took[len(took)-1], most, watched)
	require.Less(t, took[len(took)/2], quick)
	require.Less(t, most.total(), int64(memory))
}

// A subscriber of the alerts that stops reading does not slow them down. Lines are written
// in portions, in turn with and without that subscriber.
func TestAcceptStuckSubscriber(t *testing.T) {
	const rounds, portion, bar = 40, 1000, 0.95
	s := newInstance(t)
	s.start()
	conn, err := bus.DialSocket(t.Context(), s.path("bus.sock"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	given := 0
	burst := func() time.Duration {
		var lines strings.Builder
		for range portion {
			given++
			lines.WriteString(rootShell(fmt.Sprintf("user%06d", given)))
		}
		began := time.Now()
		s.append([]byte(lines.String()))
		for s.stored(conn) < uint64(given) {
			require.Less(t, time.Since(began), waitLimit)
			time.Sleep(2 * time.Millisecond)
		}
		return time.Since(began)
	}
	burst()
	var free, held time.Duration
	for range rounds {
		free += burst()
		release := s.subscribeAndStopReading()
		held += burst()
		release()
	}
	left := float64(free) / float64(held)
	t.Logf("%d alerts each way: with a stuck subscriber %.1f %% of the rate is left (bar 95 %%)", rounds*portion, 100*left)
	require.Greater(t, left, bar)
}

// stored returns how many alerts the stream has stored.
func (s *instance) stored(conn *bus.Conn) uint64 {
	s.t.Helper()
	states, err := conn.StreamStates(s.t.Context(), nil)
	require.NoError(s.t, err)
	i := slices.IndexFunc(states, func(st bus.StreamState) bool { return st.Name == bus.Alerts })
	return states[i].LastSeq
}

// subscribeAndStopReading subscribes to the alerts and reads none, until release is called.
func (s *instance) subscribeAndStopReading() (release func()) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.observer)
	require.NoError(s.t, err)
	require.NoError(s.t, c.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB "+bus.RepublishedAlerts+" 1\r\nPING\r\n")
	require.NoError(s.t, err)
	for in := bufio.NewReader(c); ; {
		line, err := in.ReadString('\n')
		require.NoError(s.t, err)
		if strings.HasPrefix(line, "PONG") {
			return func() { _ = c.Close() }
		}
	}
}
