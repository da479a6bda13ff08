package embedded_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/testenv"
)

const remoteHost = "edge-1"

func TestRemoteModule(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	sub := listen(t, f.bus.Observer(), bus.RepublishedAlerts)

	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.Publish(within(t), bus.AlertSubject(bus.LogPipeline, remoteHost), []byte("from afar"))
	require.NoError(t, err)
	require.Equal(t, "from afar", string(next(t, sub).Data))
	require.True(t, publishRefused(t, nc, bus.AlertSubject(bus.LogPipeline, f.bus.Host())), "it is another host")
	require.True(t, publishRefused(t, nc, bus.ActionSubject(bus.ContainerGuard, remoteHost)), "it is another module")
}

func TestRemoteIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	otherCA := testenv.NewAuthority(t)
	local, err := nkeys.FromSeed(f.bus.Options(bus.Daemon).Seed)
	require.NoError(t, err)
	for name, try := range map[string]func() (*nats.Conn, error){
		"no certificate":              func() (*nats.Conn, error) { return f.connect(nil, f.key) },
		"another authority":           func() (*nats.Conn, error) { return f.connect(otherCA.Client(), f.key) },
		"a certificate without a key": func() (*nats.Conn, error) { return f.connect(f.ca.Client(), nil) },
		"unknown key":                 func() (*nats.Conn, error) { return f.connect(f.ca.Client(), newPair(t)) },
		"a key of this process":       func() (*nats.Conn, error) { return f.connect(f.ca.Client(), local) },
		"plain text":                  func() (*nats.Conn, error) { return nats.Connect("nats://" + f.address) },
		"TLS 1.2": func() (*nats.Conn, error) {
			return f.connect(f.ca.Client(), f.key, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := try()
			if err == nil {
				nc.Close()
			}
			require.Error(t, err)
		})
	}
}

// A key that works for another machine works for no observer's port.
func TestRemoteKeyIsValidOnRemoteListenerOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	_, err := nats.Connect(f.bus.ObserverURL(), nkeyOption(t, f.key))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestReloadReadsRemoteKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	old, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	js := publisher(t, f.bus)

	added := newPair(t)
	f.allow(t, bus.SBOMScanner, added)
	require.NoError(t, os.Remove(f.keyFile(bus.LogPipeline)))
	require.NoError(t, f.bus.Server().Reload())

	nc, err := f.connect(f.ca.Client(), added)
	require.NoError(t, err)
	require.False(t, publishRefused(t, nc, bus.AlertSubject(bus.SBOMScanner, remoteHost)))
	require.Eventually(t, func() bool { return !old.IsConnected() }, patience, time.Millisecond, "its key is gone")
	alert(t, f.bus, js, "the streams are still there")
}

// A certificate that cannot be read, such as one that is just being replaced, keeps no removed key.
func TestKeyIsRevokedBesideABrokenCertificate(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	require.NoError(t, os.Remove(f.keyFile(bus.LogPipeline)))
	require.NoError(t, os.WriteFile(f.ca.Path, nil, 0o600))
	require.ErrorContains(t, f.bus.Server().Reload(), "holds no certificate")
	require.Eventually(t, func() bool { return !nc.IsConnected() }, patience, time.Millisecond)
	_, err = f.connect(f.ca.Client(), f.key)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// A file that is no valid key is refused by itself: it permits nothing, and keeps no other key from being added or revoked.
func TestBadRemoteKeyIsRefusedAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	public := func(pair nkeys.KeyPair) string {
		text, err := pair.PublicKey()
		require.NoError(t, err)
		return text
	}
	daemon, edge, added := newPair(t), newPair(t), newPair(t)
	for name, content := range map[string]string{
		"log-pipeline.edge-2.nk": "SUAnotapublickey", "daemon.edge-1.nk": public(daemon), bus.Edge + "." + f.bus.Host() + ".nk": public(edge), "notes.txt": "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(f.keys, name), []byte(content), 0o600))
	}
	f.allow(t, bus.SBOMScanner, added)
	require.NoError(t, os.Remove(f.keyFile(bus.LogPipeline)))
	require.NoError(t, f.bus.Server().Reload())

	require.Eventually(t, func() bool { return !nc.IsConnected() }, patience, time.Millisecond, "its key is gone")
	_, err = f.connect(f.ca.Client(), added)
	require.NoError(t, err)
	for _, pair := range []nkeys.KeyPair{daemon, edge} { // no other machine may be this daemon, nor an edge that could speak for it
		_, err = f.connect(f.ca.Client(), pair)
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
	keys := f.bus.Server().Keys()
	require.Equal(t, []embedded.RemoteModule{{Module: bus.SBOMScanner, Host: remoteHost}}, keys.Modules)
	refused := errors.Join(keys.Refused...).Error()
	require.Len(t, keys.Refused, 4)
	for _, part := range []string{"log-pipeline.edge-2.nk", "daemon.edge-1.nk: this daemon is the bus", "ironpost bus revoke " + f.bus.Host(), "notes.txt"} {
		require.Contains(t, refused, part)
	}
}

// fleet is a bus with a native listener and one remote key.
type fleet struct {
	bus     *bustest.Bus
	ca      *testenv.Authority
	keys    string
	address string
	key     nkeys.KeyPair
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{ca: testenv.NewAuthority(t), keys: t.TempDir(), address: testenv.FreeAddr(t), key: newPair(t)}
	f.allow(t, bus.LogPipeline, f.key)
	cert, key := f.ca.Server()
	f.bus = bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		evidence(c)
		c.Listen, c.TLSCA, c.TLSCert, c.TLSKey, c.KeysDir = f.address, f.ca.Path, cert, key, f.keys
	}))
	return f
}

func (f *fleet) keyFile(module string) string {
	return filepath.Join(f.keys, module+"."+remoteHost+".nk")
}

func (f *fleet) allow(t *testing.T, module string, pair nkeys.KeyPair) {
	t.Helper()
	public, err := pair.PublicKey()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.keyFile(module), []byte(public+"\n"), 0o600))
}

// connect connects as another machine would. Nil stands for nothing shown.
func (f *fleet) connect(cert *tls.Certificate, key nkeys.KeyPair, changes ...func(*tls.Config)) (*nats.Conn, error) {
	config := &tls.Config{RootCAs: f.ca.Pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	for _, change := range changes {
		change(config)
	}
	options := []nats.Option{
		nats.Secure(config), nats.NoReconnect(), nats.CustomInboxPrefix(bus.InboxPrefix(bus.LogPipeline, remoteHost)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if key != nil {
		public, err := key.PublicKey()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Nkey(public, key.Sign))
	}
	return nats.Connect("nats://"+f.address, options...)
}

func nkeyOption(t *testing.T, pair nkeys.KeyPair) nats.Option {
	t.Helper()
	public, err := pair.PublicKey()
	require.NoError(t, err)
	return nats.Nkey(public, pair.Sign)
}
