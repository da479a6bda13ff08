package bus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

const edge = "edge-1"

// hub is a bus to which modules of a second host connect over TLS.
type hub struct {
	*bustest.Bus
	address string
	keys    string
	tls     *tls.Config
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{address: freeAddress(t), keys: t.TempDir()}
	cert, key := h.certify(t)
	h.Bus = bustest.New(t, bustest.WithHost("hub"), bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.TLSCA, c.TLSCert, c.TLSKey, c.KeysDir = h.address, cert, cert, key, h.keys
	}))
	both := append(h.Durables(), bus.Durables(edge, map[string]bool{bus.ContainerGuard: true}, bus.InFlight{})...)
	require.NoError(t, h.Admin().Provision(within(t, patience), h.Limits(), both))
	return h
}

// certify makes one certificate that is authority, server and client.
func (h *hub) certify(t *testing.T) (certPath, keyPath string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	h.tls = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	return writePEM(t, dir, "cert.pem", "CERTIFICATE", der), writePEM(t, dir, "key.pem", "PRIVATE KEY", pkcs)
}

func writePEM(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// remote connects module as the second host does.
func (h *hub) remote(t *testing.T, module string) *bus.Conn {
	t.Helper()
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	seed, err := pair.Seed()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(h.keys, module+"."+edge+".nk"), []byte(public+"\n"), 0o600))
	require.NoError(t, h.Server().Reload())
	conn, err := bus.Connect(within(t, patience), bus.Options{
		Module: module, Host: edge, Seed: seed, URL: "tls://" + h.address, TLS: h.tls,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(within(t, patience)) })
	return conn
}

// Two hosts raise the same alert at once. Each guard gets its own host's, the stream
// and its observers get both.
func TestTwoHostsWithTheSameAlert(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	feed, err := h.Observer().SubscribeSync(bus.AlertsFeed)
	require.NoError(t, err)
	require.NoError(t, feed.SetPendingLimits(-1, -1))
	far, err := h.remote(t, bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: edge})
	require.NoError(t, err)
	near := publisher(t, h.Bus, bus.Alerts, bus.LogPipeline)
	require.NoError(t, near.Publish(within(t, patience), newAlert("hub", "alert-of-hub")))
	require.NoError(t, far.Publish(within(t, patience), newAlert(edge, "alert-of-edge")))
	require.ElementsMatch(t, []string{"alert-of-hub", "alert-of-edge"}, seen(t, feed, 2))

	d, ok := bus.DurableOf(bus.ContainerGuard, bus.Alerts, edge, bus.InFlight{})
	require.True(t, ok)
	require.Equal(t, []string{"alert-of-hub"}, firstOf(t, h.Conn(bus.ContainerGuard), durable(t, h.Bus, bus.ContainerGuard)))
	require.Equal(t, []string{"alert-of-edge"}, firstOf(t, h.remote(t, bus.ContainerGuard), d))
}

// firstOf returns what d holds.
func firstOf(t *testing.T, conn *bus.Conn, d bus.Durable) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t, patience))
	var got []string
	err := conn.Consume(ctx, d, bus.ConsumeOptions{Drain: patience}, func(_ context.Context, d bus.Delivery) error {
		got = append(got, d.ID)
		cancel()
		return nil
	})
	require.NoError(t, err)
	return got
}

// The same verb on two hosts: every question reaches the host it is for.
func TestTwoHostsAnswerForThemselves(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	serve := func(conn *bus.Conn, host string) {
		stop, err := conn.Serve(t.Context(), bus.ServiceConfig{
			Module: bus.ContainerGuard, Host: host, Version: "1.0.0",
			Verbs: map[string]bus.Verb{"status": func(context.Context, []byte) (any, error) { return host, nil }},
		})
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	serve(h.Conn(bus.ContainerGuard), "hub")
	serve(h.remote(t, bus.ContainerGuard), edge)
	operator, ctx := h.Conn(bus.Operator), within(t, patience)
	for range 20 {
		for _, host := range []string{"hub", edge} {
			var got string
			require.NoError(t, operator.Request(ctx, bus.StatusSubject(bus.ContainerGuard, host, "status"), nil, &got))
			require.Equal(t, host, got)
		}
	}
	found, err := operator.Discover(ctx, 500*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, found, 2)
}

// A module of one host may not speak for another host.
func TestRemoteModuleMayNotSpeakForTheHub(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	conn := h.remote(t, bus.LogPipeline)
	p, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: "hub"})
	require.NoError(t, err)
	require.Error(t, p.Publish(within(t, time.Second), newAlert("hub", "forged")))
	require.NotEmpty(t, conn.Violations())
	require.Empty(t, ids(t, h.Bus, bus.Alerts))
}
