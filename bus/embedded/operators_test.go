package embedded_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// serveAct answers "isolate" with who asks for it.
func serveAct(t *testing.T, b *bustest.Bus) {
	t.Helper()
	stop, err := b.Conn(bus.ContainerGuard).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3",
		Acts: map[string]bus.Act{"isolate": func(_ context.Context, by string, _ []byte) (any, error) { return by, nil }},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
}

func TestActsKnowTheirOperator(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	serveAct(t, b)
	conn, err := bus.DialSocket(within(t), b.Socket())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(within(t))) }()
	var by string
	require.NoError(t, conn.Operate(within(t), bus.ContainerGuard, b.Host(), "isolate", nil, &by))
	require.Equal(t, bus.OperatorToken(os.Getuid(), b.Host()), by)

	err = conn.Request(within(t), bus.VerbSubject(bus.ContainerGuard, b.Host(), "isolate"), nil, nil)
	require.ErrorContains(t, err, "older version than the daemon", "as an older command asks")
}

// A key asks in its own name only, and another's key is no use.
func TestNobodyActsInAnothersName(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	serveAct(t, b)
	for name, token := range map[string]string{"another uid": bus.OperatorToken(4711, b.Host()), "another host": bus.OperatorToken(os.Getuid(), "web-9"), "a wildcard": "*", "a name": "root"} {
		nc := dialOperator(t, b.Socket(), "")
		_, err := nc.Request(bus.ActSubject(bus.ContainerGuard, b.Host(), "isolate", token), nil, patience)
		require.Error(t, err, name)
		require.True(t, nc.IsClosed() || nc.LastError() != nil, name)
	}
	unissued, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := unissued.Seed()
	require.NoError(t, err)
	require.Nil(t, dialOperator(t, b.Socket(), string(seed)), "the key of no process")
}

// dialOperator connects through the socket without package bus, with the key that the socket gives or another one; nil if that is refused.
func dialOperator(t *testing.T, socket, seed string) *nats.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	require.NoError(t, err)
	var g bus.Greeting
	line := make([]byte, 0, 512)
	for one := make([]byte, 1); one[0] != '\n'; line = append(line, one[0]) {
		_, err := c.Read(one)
		require.NoError(t, err)
	}
	require.NoError(t, json.Unmarshal(line, &g))
	if seed == "" {
		seed = g.Seed
	}
	pair, err := nkeys.FromSeed([]byte(seed))
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	nc, err := nats.Connect("nats://socket:4222", nats.SetCustomDialer(oneConn{c}), nats.SkipHostLookup(), nats.NoReconnect(),
		nats.Nkey(public, pair.Sign), nats.CustomInboxPrefix(bus.InboxPrefix(bus.Operator, "")), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return nil
	}
	t.Cleanup(nc.Close)
	return nc
}

type oneConn struct{ net.Conn }

func (c oneConn) Dial(string, string) (net.Conn, error) { return c.Conn, nil }

func TestOperatorName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "root (uid 0)", bus.OperatorName(bus.OperatorToken(0, "web-1"), "web-1"))
	require.Equal(t, "uid 0 of web-1", bus.OperatorName(bus.OperatorToken(0, "web-1"), "web-2"))
	require.Equal(t, "uid 987654", bus.OperatorName(bus.OperatorToken(987654, "web-1"), "web-1"))
	require.Equal(t, "key UABC", bus.OperatorName("UABC", "web-1"))
}
