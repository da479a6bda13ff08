package bus_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

// greet is a daemon's socket that sends line.
func greet(t *testing.T, line string) (bus.Greeting, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(theirs, line) // may be cut off by the reader
		_ = theirs.Close()
	}()
	g, err := bus.ReadGreeting(context.Background(), ours)
	_ = ours.Close()
	<-done
	return g, err
}

func TestReadGreeting(t *testing.T) {
	t.Parallel()
	g, err := greet(t, `{"seed":"SU","host":"web-1"}`+"\nINFO {}")
	require.NoError(t, err)
	require.Equal(t, bus.Greeting{Seed: "SU", Host: "web-1"}, g)

	_, err = greet(t, `{"error":"not \u001b[31m a member"}`+"\n")
	require.ErrorIs(t, err, bus.ErrRefused)
	require.NotContains(t, err.Error(), "\x1b")

	for _, bad := range []string{"", "{}\n", "INFO {}\r\n", `{"seed":"SU"}`, strings.Repeat("x", 1000)} {
		_, err = greet(t, bad)
		require.Error(t, err, bad)
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add("a\nb")
	f.Add(strings.Repeat("x", 600))
	f.Fuzz(func(t *testing.T, in string) {
		line, err := bus.ReadLine(strings.NewReader(in))
		if err == nil && (len(line) > 512 || !strings.HasPrefix(in, string(line)+"\n")) {
			t.Fatalf("read %q of %q", line, in)
		}
	})
}

// A restarted daemon has another seed: the operator gets an error for that instead of being
// refused for ever.
func TestDialSocketReportsARestartedDaemon(t *testing.T) {
	t.Parallel()
	first := bustest.New(t)
	operator, err := bus.DialSocket(within(t, patience), first.Socket())
	require.NoError(t, err)
	require.Equal(t, first.Host(), operator.Host())
	followed := make(chan error, 1)
	go func() {
		followed <- operator.Follow(within(t, patience), bus.RepublishedAlerts, func(string, map[string][]string, []byte) {})
	}()
	first.Stop()
	bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.Socket = first.Socket() }))
	require.ErrorIs(t, <-followed, bus.ErrDaemonRestarted)
	err = operator.Request(within(t, patience), "ironpost.svc.daemon.x.status", nil, nil)
	require.ErrorIs(t, err, bus.ErrDaemonRestarted)
}

// The socket has no host name, so that an operator can work while no name server answers.
func TestDialSocketAsksNoNameServer(t *testing.T) { //nolint:paralleltest // it changes the resolver of the process
	b := bustest.New(t)
	resolver := net.DefaultResolver
	defer func() { net.DefaultResolver = resolver }()
	var asked atomic.Int64
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no name server")
	}}
	operator, err := bus.DialSocket(within(t, patience), b.Socket())
	require.NoError(t, err)
	require.NoError(t, operator.Close(within(t, patience)))
	require.Zero(t, asked.Load())
}

func TestDialSocketWithoutADaemon(t *testing.T) {
	t.Parallel()
	_, err := bus.DialSocket(within(t, patience), t.TempDir()+"/none")
	require.ErrorIs(t, err, bus.ErrUnreachable)
}
