// Package bustest gives a test a real bus: the embedded server with JetStream on
// a temporary folder, its streams and durables made, one connection per module
// with that module's permissions. There is no fake of the bus anywhere.
package bustest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
)

const (
	patience     = 2 * time.Minute // for a machine on which every test runs at the same time
	defaultStore = 256 << 20
	defaultHost  = "testhost"
)

// Bus is a running bus. Its methods fail the test they belong to; they may be
// called from several goroutines of it. It is stopped when the test ends.
type Bus struct {
	t      testing.TB
	config embedded.Config
	setup  setup
	server *embedded.Server

	mu      sync.Mutex
	conns   []*bus.Conn
	stopped bool
}

// New starts a bus, makes the streams, buckets and durables, and stops it when
// the test ends.
func New(t testing.TB, options ...Option) *Bus {
	t.Helper()
	b := &Bus{t: t, setup: defaults()}
	for _, option := range options {
		option(&b.setup)
	}
	b.config = b.setup.config
	if b.config.StoreDir == "" {
		b.config.StoreDir = filepath.Join(t.TempDir(), "bus")
	}
	if b.config.Socket == "" {
		b.config.Socket = filepath.Join(shortDir(t), "bus.sock")
	}
	b.config.MaxStoreBytes = b.setup.limits.MaxStoreBytes
	b.start()
	t.Cleanup(b.Stop)
	b.Provision()
	return b
}

func (b *Bus) start() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := embedded.Start(ctx, b.config, b.setup.log)
	require.NoError(b.t, err)
	b.server = server
}

// Provision makes streams, buckets and durables, as New did.
func (b *Bus) Provision() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(b.t, b.Admin().Provision(ctx, b.setup.limits, b.Durables()))
}

// DeleteStream removes a stream, so that nothing can be stored in it until Provision makes
// it again.
func (b *Bus) DeleteStream(name bus.StreamName) {
	b.t.Helper()
	js, err := jetstream.New(b.Raw(bus.Daemon))
	require.NoError(b.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(b.t, js.DeleteStream(ctx, string(name)))
}

// Durables returns the durables that were made.
func (b *Bus) Durables() []bus.Durable {
	durables := bus.Durables(b.Host(), b.setup.modules, b.setup.inFlight)
	for i := range durables {
		for _, p := range b.config.Known {
			if p.Stream == durables[i].Stream && p.Name == durables[i].Name {
				durables[i].Known = &p
			}
		}
	}
	return durables
}

// Limits returns what bounds the streams.
func (b *Bus) Limits() bus.Limits { return b.setup.limits }

// Host returns the host's name on this bus.
func (b *Bus) Host() string { return b.config.Host }

// StoreDir returns where the bus stores.
func (b *Bus) StoreDir() string { return b.config.StoreDir }

// Socket returns the path of the operators' socket.
func (b *Bus) Socket() string { return b.config.Socket }

// Server returns the server itself, for tests of it.
func (b *Bus) Server() *embedded.Server { return b.server }

// Options returns what module needs to connect.
func (b *Bus) Options(module string) bus.Options { return b.server.Options(module) }

// Conn returns a new connection of module, with its permissions, which is closed
// before the bus stops.
func (b *Bus) Conn(module string) *bus.Conn {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := bus.Connect(ctx, b.Options(module))
	require.NoError(b.t, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, conn)
	return conn
}

// Admin returns a new connection that may make streams and read everything.
func (b *Bus) Admin() *bus.Conn {
	b.t.Helper()
	return b.Conn(bus.Daemon)
}

// ObserverURL returns where anyone may connect, for a stock NATS client.
func (b *Bus) ObserverURL() string { return "nats://" + b.server.ObserverAddr() }

// Observer returns a new connection through the loopback port, with no key.
func (b *Bus) Observer(options ...nats.Option) *nats.Conn {
	b.t.Helper()
	nc, err := nats.Connect(b.ObserverURL(), append([]nats.Option{quiet()}, options...)...)
	require.NoError(b.t, err)
	b.t.Cleanup(nc.Close)
	return nc
}

// Raw returns a new connection of module that knows nothing of the bus package,
// for tests of what the server permits.
func (b *Bus) Raw(module string, options ...nats.Option) *nats.Conn {
	b.t.Helper()
	o := b.Options(module)
	options = append([]nats.Option{
		quiet(), nats.InProcessServer(o.InProcess), keyOf(b.t, o.Seed), nats.MaxReconnects(-1),
		nats.CustomInboxPrefix(bus.Permissions(module, b.Host()).Inbox),
	}, options...)
	nc, err := nats.Connect("", options...)
	require.NoError(b.t, err)
	b.t.Cleanup(nc.Close)
	return nc
}

// Restart restarts the server in place and returns when every connection is back.
func (b *Bus) Restart() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(b.t, b.server.Restart(ctx))
	for _, conn := range b.open() {
		require.Eventually(b.t, conn.Connected, patience, time.Millisecond)
	}
}

// Stop closes every connection and stops the bus. Stopping again does nothing.
func (b *Bus) Stop() {
	b.t.Helper()
	b.mu.Lock()
	stopped := b.stopped
	b.stopped = true
	b.mu.Unlock()
	if stopped {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, conn := range b.open() {
		if err := conn.Close(ctx); err != nil {
			b.t.Logf("close connection: %v", err)
		}
	}
	require.NoError(b.t, b.server.Shutdown(ctx))
}

// open returns the connections that their test has not closed.
func (b *Bus) open() []*bus.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open []*bus.Conn
	for _, conn := range b.conns {
		select {
		case <-conn.Closed():
		default:
			open = append(open, conn)
		}
	}
	return open
}

// shortDir returns a folder whose path leaves room for a socket's name, unlike
// that of a test with a long name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") //nolint:usetesting // its path is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func silent() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}
