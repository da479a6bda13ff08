package embedded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
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
)

const remoteHost = "edge-1"

func TestRemoteModule(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nc, err := f.connect(f.ca.client(t), f.key)
	require.NoError(t, err)
	sub := listen(t, f.bus.Observer(), bus.AlertsFeed)

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
	stranger := newAuthority(t)
	local, err := nkeys.FromSeed(f.bus.Options(bus.Daemon).Seed)
	require.NoError(t, err)
	for name, try := range map[string]func() (*nats.Conn, error){
		"no certificate":             func() (*nats.Conn, error) { return f.connect(nil, f.key) },
		"another authority":          func() (*nats.Conn, error) { return f.connect(stranger.client(t), f.key) },
		"nobody, with a certificate": func() (*nats.Conn, error) { return f.connect(f.ca.client(t), nil) },
		"unknown key":                func() (*nats.Conn, error) { return f.connect(f.ca.client(t), newPair(t)) },
		"a key of this process":      func() (*nats.Conn, error) { return f.connect(f.ca.client(t), local) },
		"plain text":                 func() (*nats.Conn, error) { return nats.Connect("nats://" + f.address) },
		"TLS 1.2": func() (*nats.Conn, error) {
			return f.connect(f.ca.client(t), f.key, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
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
func TestRemoteKeyIsForTheNativeListenerOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	_, err := nats.Connect(f.bus.ObserverURL(), nkeyOption(t, f.key))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestReloadReadsRemoteKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	old, err := f.connect(f.ca.client(t), f.key)
	require.NoError(t, err)
	js := publisher(t, f.bus)

	added := newPair(t)
	f.allow(t, bus.SBOMScanner, added)
	require.NoError(t, os.Remove(f.keyFile(bus.LogPipeline)))
	require.NoError(t, f.bus.Server().Reload())

	nc, err := f.connect(f.ca.client(t), added)
	require.NoError(t, err)
	require.False(t, publishRefused(t, nc, bus.AlertSubject(bus.SBOMScanner, remoteHost)))
	require.Eventually(t, func() bool { return !old.IsConnected() }, patience, time.Millisecond, "its key is gone")
	alert(t, f.bus, js, "the streams are still there")
}

// A file that lets nobody in, though somebody believes that it does, is an error;
// at a reload everything stays as it was.
func TestBadRemoteKeyIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for name, content := range map[string]string{
		"log-pipeline.edge-2.nk": "SUAnotapublickey", "log-pipeline.nk": "", "daemon.edge-1.nk": "", "log-pipeline.a.b.nk": "",
		"notes.txt": "", "log-pipeline.*.nk": "", "nobody.edge-1.nk": "",
	} {
		path := filepath.Join(f.keys, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.ErrorContains(t, f.bus.Server().Reload(), name)
		require.NoError(t, os.Remove(path))
	}
	require.NoError(t, f.bus.Server().Reload())
	_, err := f.connect(f.ca.client(t), f.key)
	require.NoError(t, err)
}

// fleet is a bus with a native listener and one remote key.
type fleet struct {
	bus     *bustest.Bus
	ca      *authority
	keys    string
	address string
	key     nkeys.KeyPair
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{ca: newAuthority(t), keys: t.TempDir(), address: freeAddress(t), key: newPair(t)}
	f.allow(t, bus.LogPipeline, f.key)
	cert, key := f.ca.server(t)
	f.bus = bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.TLSCA, c.TLSCert, c.TLSKey, c.KeysDir = f.address, f.ca.path, cert, key, f.keys
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
	config := &tls.Config{RootCAs: f.ca.pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
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

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// authority signs certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	dir  string
	path string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newECKey(t), dir: t.TempDir(), pool: x509.NewCertPool()}
	template := certificate("authority", 1)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	a.path = writePEM(t, a.dir, "ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) sign(t *testing.T, name string, serial int64) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key = newECKey(t)
	template := certificate(name, serial)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	return der, key
}

func (a *authority) client(t *testing.T) *tls.Certificate {
	t.Helper()
	der, key := a.sign(t, "client", 2)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) server(t *testing.T) (certPath, keyPath string) {
	t.Helper()
	der, key := a.sign(t, "server", 3)
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return writePEM(t, a.dir, "server.pem", "CERTIFICATE", der), writePEM(t, a.dir, "server.key", "PRIVATE KEY", pkcs)
}

func certificate(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func writePEM(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}
