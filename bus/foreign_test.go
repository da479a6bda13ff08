package bus_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

func TestParseAck(t *testing.T) {
	t.Parallel()
	stream, seq, dup, refused, err := bus.ParseAck([]byte(`{"stream":"IRONPOST_ALERTS", "seq":12}`))
	require.NoError(t, err)
	require.Equal(t, []any{"IRONPOST_ALERTS", uint64(12), false, false}, []any{stream, seq, dup, refused})

	_, seq, dup, _, err = bus.ParseAck([]byte(`{"stream":"S","seq":3,"duplicate":true}`))
	require.NoError(t, err)
	require.True(t, dup && seq == 3)

	_, _, _, refused, err = bus.ParseAck([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S","seq":0}`))
	require.NoError(t, err)
	require.True(t, refused)

	for _, bad := range []string{"", "{}", `{"stream":"","seq":1}`, `{"stream":"S","seq":0}`, `{"stream":"S","seq":-1}`, `{"stream":"S"`, "+OK"} {
		_, _, _, _, err = bus.ParseAck([]byte(bad))
		require.Error(t, err, bad)
	}
}

// The quick form and the JSON decoder never disagree: what is accepted names a
// stream and a sequence, or is a refusal.
func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"IRONPOST_ALERTS", "seq":12}`))
	f.Add([]byte(`{"stream":"S","seq":3,"duplicate":true}`))
	f.Add([]byte(`{"error":{"err_code":10077}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		stream, seq, _, refused, err := bus.ParseAck(data)
		if err == nil && !refused && (stream == "" || seq == 0) {
			t.Fatalf("accepted %q", data)
		}
	})
}

// greet plays a daemon's socket that says line.
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

// After the daemon was restarted its seed is another: the operator is told so
// instead of being refused for ever.
func TestDialSocketTellsARestartedDaemon(t *testing.T) {
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

func TestDialSocketWithoutADaemon(t *testing.T) {
	t.Parallel()
	_, err := bus.DialSocket(within(t, patience), t.TempDir()+"/none")
	require.ErrorIs(t, err, bus.ErrUnreachable)
}
