package embedded_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/credential"
	"github.com/ironpost/ironpost/internal/testenv"
)

// clusterHost is the host of the daemon of a cluster. Its modules, and an edge and a plug-in, are of remoteHost.
const clusterHost = "hub"

// cluster is a real external bus: three processes, with a proxy in front of each, and what "ironpost bus" makes for it.
type cluster struct {
	*testenv.NATSCluster

	store   credential.Store
	dir     string
	proxies []*embedded.ServerProxy
	bundles map[string]string // of each kind of key, its folder
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	c := &cluster{dir: dir, store: credential.Store{PKI: filepath.Join(dir, "pki"), Keys: filepath.Join(dir, "keys")}, bundles: map[string]string{}}
	now := time.Now()
	require.NoError(t, c.store.Init([]string{"localhost", "127.0.0.1"}, now))
	add := func(host string, kinds ...string) {
		bundle := filepath.Join(dir, host)
		require.NoError(t, c.store.AddHost(host, kinds, bundle, false, now))
		for _, kind := range kinds {
			c.bundles[kind] = bundle
		}
	}
	add(clusterHost, bus.Daemon)
	add(remoteHost, append(bus.ModuleNames(), bus.Operator)...)
	add("branch-1", bus.Edge)
	c.bundles["door"] = filepath.Join(dir, "door")
	require.NoError(t, c.store.AddPlugin(bus.Plugin{Name: "door", Host: remoteHost, Publish: []bus.StreamName{bus.Alerts}, Trust: event.TrustUnproven}, c.bundles["door"], false, now))
	c.writeAccount(t)
	c.NATSCluster = testenv.NewNATSCluster(t, "../..", dir, c.store.PKI)
	c.Start()
	for _, n := range c.Servers {
		p, err := embedded.OpenServerProxy(within(t), embedded.ProxyConfig{
			Listen: testenv.FreeAddr(t), Server: n.Clients, Account: c.account(),
			TLSCA: filepath.Join(c.store.PKI, credential.CA), TLSCert: filepath.Join(c.store.PKI, credential.ServerCert), TLSKey: filepath.Join(c.store.PKI, credential.ServerKey),
		}, quiet())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		c.proxies = append(c.proxies, p)
	}
	return c
}

func (c *cluster) account() string { return filepath.Join(c.dir, "ironpost-account.conf") }

func (c *cluster) writeAccount(t *testing.T) {
	t.Helper()
	text, err := embedded.Account(c.store.Keys)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.account(), []byte(text), 0o600))
}

func (c *cluster) host(kind string) string {
	switch kind {
	case bus.Daemon:
		return clusterHost
	case bus.Edge:
		return "branch-1"
	}
	return remoteHost
}

// options are those with which a process with a key of this kind connects, to any of the proxies.
func (c *cluster) options(t *testing.T, kind string) bus.Options {
	t.Helper()
	var urls []string
	for _, p := range c.proxies {
		urls = append(urls, "tls://"+p.Addr().String())
	}
	o, err := bus.FromBundle(c.bundles[kind], kind, c.host(kind), strings.Join(urls, ","))
	require.NoError(t, err)
	o.Log = quiet()
	return o
}

func (c *cluster) pair(t *testing.T, kind string) nkeys.KeyPair {
	t.Helper()
	pair, err := nkeys.ParseDecoratedNKey(readFile(t, c.options(t, kind).CredentialsFile))
	require.NoError(t, err)
	return pair
}

// raw connects by hand through the proxy of the first server; direct to the server itself, as a client without a proxy would.
func (c *cluster) raw(t *testing.T, kind, follows string) *rawConn {
	t.Helper()
	secure, err := c.options(t, kind).TLS.GetClientCertificate(nil)
	require.NoError(t, err)
	return dialRaw(t, c.proxies[0].Addr().String(), &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: c.options(t, kind).TLS.RootCAs, Certificates: []tls.Certificate{*secure},
	}, c.pair(t, kind), follows)
}

// provision makes the streams with three copies and returns the daemon's connection and API.
func (c *cluster) provision(t *testing.T) (*bus.Conn, jetstream.JetStream) {
	t.Helper()
	admin, err := bus.Connect(within(t), c.options(t, bus.Daemon))
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	modules := map[string]bool{}
	for _, m := range bus.ModuleNames() {
		modules[m] = true
	}
	require.NoError(t, admin.Provision(within(t), bus.Limits{MaxStoreBytes: 64 << 20, Replicas: 3}, bus.Durables(remoteHost, modules, bus.InFlight{})))
	js, err := jetstream.New(c.connect(t, bus.Daemon))
	require.NoError(t, err)
	return admin, js
}

func (c *cluster) connect(t *testing.T, kind string) *nats.Conn {
	t.Helper()
	o := c.options(t, kind)
	pair := c.pair(t, kind)
	nc, err := nats.Connect(o.URL, nats.Secure(o.TLS), nkeyOption(t, pair), nats.CustomInboxPrefix(bus.InboxPrefix(kind, o.Host)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// A server answers a read, and acknowledges a record, to whatever reply subject it names (nats-server before 2.15.3 even to its own API, which
// deleted a stream): the proxy does not let such a request pass. It keeps addresses of servers from clients, and keys of no account out.
func TestServerProxy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	admin, js := c.provision(t)
	subject := bus.AlertSubject(bus.LogPipeline, remoteHost)
	_, err := c.connect(t, bus.LogPipeline).Request(subject, nil, patience) // an acknowledgement to the own inbox
	require.NoError(t, err)
	attack := func(stream string) string {
		return "PUB $JS.API.DIRECT.GET.IRONPOST_ALERTS $JS.API.STREAM.DELETE." + stream + " 0\r\n\r\nPING\r\n"
	}
	for kind := range c.bundles {
		if kind != bus.Daemon {
			require.Contains(t, c.raw(t, kind, attack("IRONPOST_ACTIONS")).answer(t), "-ERR 'permissions violation for publish with reply of", kind)
		}
	}
	stored(t, js, "IRONPOST_ACTIONS")

	t.Run("every subject with every key", func(t *testing.T) {
		var all []client
		for kind := range c.bundles {
			all = append(all, client{kind, c.host(kind), c.connect(t, kind), func(follows string) *rawConn { return c.raw(t, kind, follows) }})
		}
		requireAsEmbedded(t, permissionTable(t, admin, all))
	})
	t.Run("a client certificate opens no route", func(t *testing.T) { c.requireNoRoute(t) })
	t.Run("a revoked key", func(t *testing.T) {
		_, err := c.store.Revoke(remoteHost, bus.LogPipeline)
		require.NoError(t, err)
		c.writeAccount(t)
		require.NoError(t, c.proxies[0].Reload())
		require.Contains(t, c.raw(t, bus.LogPipeline, "PING\r\n").answer(t), "authorization violation")
	})
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

// requireAsEmbedded requires that each kind of key in table may do what it may on an embedded bus. The daemon, which is local there, may
// name replies as others may.
func requireAsEmbedded(t *testing.T, table string) {
	t.Helper()
	cells := func(table string) map[string]map[string]string {
		lines := slices.Collect(strings.Lines(table))
		kinds := strings.Fields(lines[0])[1:]
		out := map[string]map[string]string{}
		for _, line := range lines[1:] {
			fields := strings.Fields(line)
			row := map[string]string{}
			for i, kind := range kinds {
				row[kind] = fields[2+i]
			}
			out[fields[0]+" "+fields[1]] = row
		}
		return out
	}
	want, got := cells(string(readFile(t, filepath.Join("testdata", "permissions.golden")))), cells(table)
	require.Len(t, got, len(want))
	own := []string{"reply OWN_INBOX.x", "reply " + bus.InboxPrefix(bus.Daemon, "HOST") + ".x"}
	for row, kinds := range got {
		for kind, cell := range kinds {
			expected := want[row][kind]
			if expected == "local" {
				expected = yes(slices.Contains(own, row))
			}
			require.Equal(t, expected, cell, "%s with the key of %s", row, kind)
		}
	}
}

// requireNoRoute requires that the servers take a client certificate for no server of the cluster: one would have every right.
func (c *cluster) requireNoRoute(t *testing.T) {
	t.Helper()
	o := c.options(t, bus.LogPipeline)
	raw, err := net.Dial("tcp", c.Servers[0].Routes)
	require.NoError(t, err)
	defer func() { _ = raw.Close() }()
	require.NoError(t, raw.SetDeadline(time.Now().Add(patience)))
	secure := o.TLS.Clone()
	secure.ServerName = "localhost"
	route := tls.Client(raw, secure)
	_, err = route.Write([]byte("CONNECT {\"verbose\":false,\"name\":\"nats-4\",\"cluster\":\"ironpost\"}\r\nPING\r\n"))
	require.NoError(t, err)
	answer := (&rawConn{Conn: route, in: bufio.NewReader(route)}).answer(t)
	require.Contains(t, answer, "-ERR 'Authorization Violation'")
	require.NotContains(t, answer, "PONG")
}
