package bus_test

import (
	"context"
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/testenv"
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
	ca := testenv.NewAuthority(t)
	h := &hub{address: testenv.FreeAddr(t), keys: t.TempDir(), tls: ca.TLS()}
	cert, key := ca.Server()
	h.Bus = bustest.New(t, bustest.WithHost("hub"), bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.TLSCA, c.TLSCert, c.TLSKey, c.KeysDir = h.address, ca.Path, cert, key, h.keys
	}))
	both := append(h.Durables(), bus.Durables(edge, map[string]bool{bus.ContainerGuard: true}, bus.InFlight{})...)
	require.NoError(t, h.Admin().Provision(within(t, patience), h.Limits(), both))
	return h
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
	feed, err := h.Observer().SubscribeSync(bus.RepublishedAlerts)
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

// The same verb on two hosts: every request reaches the host it names.
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
			require.NoError(t, operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, host, "status"), nil, &got))
			require.Equal(t, host, got)
		}
	}
	found, err := operator.Discover(ctx, 500*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, found, 2)
}

// A module of one host may not publish for another host.
func TestRemoteModuleMayNotPublishForTheHub(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	conn := h.remote(t, bus.LogPipeline)
	p, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: "hub"})
	require.NoError(t, err)
	require.Error(t, p.Publish(within(t, time.Second), newAlert("hub", "forged")))
	require.NotEmpty(t, conn.Violations())
	require.Empty(t, ids(t, h.Bus, bus.Alerts))
}

// The peers of a connection from the second host are the servers.
func TestPeersAreTheServers(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	require.Empty(t, h.Conn(bus.EBPFEngine).Peers(), "there is none within one process")
	far := h.remote(t, bus.EBPFEngine)
	want := []netip.Addr{netip.MustParseAddrPort(h.address).Addr()}
	require.Equal(t, want, far.Peers())
}
