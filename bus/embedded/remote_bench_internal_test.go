package embedded

import (
	"context"
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/testenv"
)

// BenchmarkRemotePublish compares a publisher over TLS through our listener with one to a NATS server that listens itself,
// in turns, of records that are stored, in a window of 256. The ratio is that of the best turns: what else the machine does
// falls on the others.
func BenchmarkRemotePublish(b *testing.B) {
	ours, direct := remotePublisher(b, true), remotePublisher(b, false)
	subject, data := bus.PacketSubject(bus.EBPFEngine, "web-1"), make([]byte, 600)
	best := [2]time.Duration{time.Hour, time.Hour}
	for i := 0; b.Loop(); i++ {
		for turn := range 2 {
			n := (i + turn) % 2 // neither is always the first
			js, err := jetstream.New([]*nats.Conn{ours, direct}[n], jetstream.WithPublishAsyncMaxPending(256))
			require.NoError(b, err)
			began := time.Now()
			for range 2000 {
				_, err := js.PublishAsync(subject, data, jetstream.WithStallWait(readyTimeout))
				require.NoError(b, err)
			}
			<-js.PublishAsyncComplete()
			best[n] = min(best[n], time.Since(began))
		}
	}
	b.ReportMetric(best[1].Seconds()/best[0].Seconds(), "ratio")
}

// remotePublisher returns a connection of the packet engine of another machine, through our listener or to a server that
// listens itself.
func remotePublisher(b *testing.B, ours bool) *nats.Conn {
	ca, keys, address := testenv.NewAuthority(b), b.TempDir(), testenv.FreeAddr(b)
	cert, key := ca.Server()
	pair, err := nkeys.CreateUser()
	require.NoError(b, err)
	public, err := pair.PublicKey()
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(filepath.Join(keys, "ebpf-engine.web-1.nk"), []byte(public), 0o600))
	c := Config{
		StoreDir: filepath.Join(b.TempDir(), "bus"), MaxStoreBytes: 8 << 30, Host: "hub",
		Listen: address, TLSCA: ca.Path, TLSCert: cert, TLSKey: key, KeysDir: keys,
	}.withDefaults()
	daemon := startFor(b, c, ours)
	nc, err := nats.Connect("nats://"+address, nats.Nkey(public, pair.Sign), nats.CustomInboxPrefix(bus.InboxPrefix(bus.EBPFEngine, "web-1")),
		nats.Secure(&tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*ca.Client()}}),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(daemon)
	require.NoError(b, err)
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name: string(bus.Packets), Subjects: []string{"ironpost.packets.*.*"}, MaxBytes: 1 << 30, PersistMode: jetstream.AsyncPersistMode,
	})
	require.NoError(b, err)
	return nc
}

// startFor starts a bus, or a server that listens itself, and returns a connection of its daemon.
func startFor(b *testing.B, c Config, ours bool) *nats.Conn {
	log, _ := test.NewNullLogger()
	s := &Server{config: c, log: log, proxies: map[string]*proxy{}}
	s.remote.Store(&remoteKeys{})
	require.NoError(b, s.makeKeys())
	require.NoError(b, os.MkdirAll(c.StoreDir, 0o700))
	require.NoError(b, s.readCertificates())
	if ours {
		require.NoError(b, s.startServer(context.Background()))
		require.NoError(b, s.openListeners())
		b.Cleanup(func() { require.NoError(b, s.Shutdown(context.Background())) })
	} else {
		listenItself(b, s)
	}
	daemon := s.keys[bus.Daemon]
	pair, err := nkeys.FromSeed([]byte(daemon.seed))
	require.NoError(b, err)
	nc, err := nats.Connect("", nats.InProcessServer(&s.dialer), nats.Nkey(daemon.public, pair.Sign), nats.CustomInboxPrefix(bus.InboxPrefix(bus.Daemon, c.Host)))
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	return nc
}

// listenItself starts the server of s with a listener of its own.
func listenItself(b *testing.B, s *Server) {
	opts, err := s.options()
	require.NoError(b, err)
	at, err := netip.ParseAddrPort(s.config.Listen)
	require.NoError(b, err)
	opts.DontListen, opts.Host, opts.Port = false, at.Addr().String(), int(at.Port())
	opts.TLSConfig, opts.TLS, opts.TLSVerify = s.tls.Load(), true, true
	for _, user := range opts.Nkeys {
		user.AllowedConnectionTypes = nil
	}
	ns, err := server.NewServer(opts)
	require.NoError(b, err)
	ns.Start()
	b.Cleanup(func() { shutDown(ns) })
	require.True(b, ns.ReadyForConnections(readyTimeout))
	s.dialer.current.Store(ns)
}
