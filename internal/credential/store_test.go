package credential_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/credential"
	"github.com/ironpost/ironpost/internal/testenv"
)

// hub is a bus with the keys of a store.
type hub struct {
	bus   *bustest.Bus
	store credential.Store
	url   string
	dir   string
}

func newHub(t *testing.T) *hub {
	t.Helper()
	dir, address := t.TempDir(), testenv.FreeAddr(t)
	h := &hub{store: credential.Store{PKI: filepath.Join(dir, "pki"), Keys: filepath.Join(dir, "keys")}, url: "tls://" + address, dir: dir}
	require.NoError(t, h.store.Init([]string{"127.0.0.1"}, time.Now()))
	h.bus = bustest.New(t, bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.KeysDir = address, h.store.Keys
		c.TLSCA, c.TLSCert, c.TLSKey = filepath.Join(h.store.PKI, credential.CA), filepath.Join(h.store.PKI, credential.ServerCert), filepath.Join(h.store.PKI, credential.ServerKey)
	}))
	return h
}

// connect connects with the bundle called name.
func (h *hub) connect(t *testing.T, name, module, host string) (*bus.Conn, error) {
	t.Helper()
	o, err := bus.FromBundle(filepath.Join(h.dir, name), module, host, h.url)
	require.NoError(t, err)
	conn, err := bus.Connect(t.Context(), o)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
	}
	return conn, err
}

func (h *hub) bundle(name string) string { return filepath.Join(h.dir, name) }

// A host's bundle opens the bus for the modules it is for, until its keys are replaced or revoked.
func TestBundleOfAHost(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	require.NoError(t, h.store.AddHost("web-1", []string{bus.LogPipeline, bus.Operator}, h.bundle("first"), false, time.Now()))
	_, err := h.connect(t, "first", bus.LogPipeline, "web-1")
	require.Error(t, err, "the server has not read the keys yet")
	require.NoError(t, h.bus.Server().Reload())
	require.Equal(t, []embedded.RemoteModule{{Module: bus.LogPipeline, Host: "web-1"}}, h.bus.Server().Keys().Modules)
	old, err := h.connect(t, "first", bus.LogPipeline, "web-1")
	require.NoError(t, err)
	operator, err := h.connect(t, "first", bus.Operator, "web-1")
	require.NoError(t, err)
	_, err = operator.StreamStates(t.Context(), nil)
	require.NoError(t, err)

	require.ErrorIs(t, h.store.AddHost("web-1", []string{bus.LogPipeline}, h.bundle("second"), false, time.Now()), credential.ErrExists)
	require.NoDirExists(t, h.bundle("second"))
	require.ErrorIs(t, h.store.AddHost("web-1", []string{bus.LogPipeline}, h.bundle("first"), true, time.Now()), credential.ErrExists, "the folder")
	require.NoError(t, h.store.AddHost("web-1", []string{bus.LogPipeline}, h.bundle("second"), true, time.Now()))
	require.NoError(t, h.bus.Server().Reload())
	require.Eventually(t, func() bool { return !old.Connected() }, time.Minute, time.Millisecond, "its key was replaced")
	again, err := h.connect(t, "second", bus.LogPipeline, "web-1")
	require.NoError(t, err)

	require.Empty(t, credential.ServerExpiring(time.Now(), again.ServerCertificate()))
	require.Contains(t, credential.ServerExpiring(time.Now().AddDate(1, 0, 0), again.ServerCertificate())[0], "of the external bus, for 127.0.0.1, ")
	require.Empty(t, h.bus.Server().ClientsExpiring(time.Now().AddDate(0, 11, 0)))
	require.Contains(t, h.bus.Server().ClientsExpiring(time.Now().AddDate(2, 0, 0))[0], "log-pipeline on web-1 at ")
	removed, err := h.store.Revoke("web-1", "")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{bus.LogPipeline, bus.Operator}, removed)
	require.NoError(t, h.bus.Server().Reload())
	require.Eventually(t, func() bool { return !again.Connected() && !operator.Connected() }, time.Minute, time.Millisecond)
	_, err = h.store.Revoke("web-1", "")
	require.ErrorContains(t, err, "no such key of web-1")
}

// A plug-in publishes alerts about its host and does nothing else.
func TestBundleOfAPlugin(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	p := bus.Plugin{Name: "door-sensor", Host: "testhost", Trust: event.TrustPeer, Publish: []bus.StreamName{bus.Alerts}}
	require.NoError(t, h.store.AddPlugin(p, h.bundle("door"), false, time.Now()))
	require.NoError(t, h.bus.Server().Reload())
	require.Equal(t, []bus.Plugin{p}, h.bus.Server().Keys().Plugins)
	conn, err := h.connect(t, "door", "door-sensor", "testhost")
	require.NoError(t, err)
	alerts, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: "door-sensor", Host: "testhost"})
	require.NoError(t, err)
	now := time.Now().UTC()
	require.NoError(t, alerts.Publish(t.Context(), &event.Alert{
		ID: "1", Schema: event.Schema, TraceID: strings.Repeat("0", 32), Time: now, FirstSeen: now, LastSeen: now, Count: 1,
		Module: "door-sensor", Host: "testhost", Severity: event.High, Title: "door", Rule: event.Rule{ID: "door", Title: "door", Level: event.High}, DedupKey: "door",
	}))
	_, err = conn.StreamStates(t.Context(), nil)
	require.Error(t, err)
	require.NotEmpty(t, conn.Violations(), "it may not read the streams")

	for _, name := range []string{"", "Door", bus.LogPipeline, bus.Daemon, bus.Operator, "a.b"} {
		require.Error(t, h.store.AddPlugin(bus.Plugin{Name: name, Host: "testhost", Trust: event.TrustUnproven}, h.bundle("bad"), false, time.Now()), name)
	}
}

// The guard reads the trust of plug-ins; one that has no entry any more is unproven.
func TestTrust(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	admin, guard := b.Admin(), b.Conn(bus.ContainerGuard)
	set := func(plugins ...bus.Plugin) { require.NoError(t, admin.SetTrust(t.Context(), plugins)) }
	trust := func(name, host string) event.Trust {
		got, err := guard.Ceiling(t.Context(), name, host)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, event.TrustKernel, trust(bus.LogPipeline, "testhost"))
	require.Equal(t, event.TrustContainer, trust(bus.SBOMScanner, "testhost"))
	require.Equal(t, event.TrustUnproven, trust("door", "testhost"))
	set(bus.Plugin{Name: "door", Host: "testhost", Trust: event.TrustPeer}, bus.Plugin{Name: "gate", Host: "testhost", Trust: event.TrustUnproven})
	require.Equal(t, event.TrustPeer, trust("door", "testhost"))
	require.Equal(t, event.TrustUnproven, trust("door", "other"))
	require.Equal(t, event.TrustUnproven, trust("gate", "testhost"))
	set()
	require.Equal(t, event.TrustUnproven, trust("door", "testhost"))
	require.Error(t, guard.SetTrust(t.Context(), []bus.Plugin{{Name: "door", Host: "testhost", Trust: event.TrustPeer}}), "only the daemon may")
}

func TestNothingIsOverwrittenAndSecretsArePrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := credential.Store{PKI: filepath.Join(dir, "pki"), Keys: filepath.Join(dir, "keys")}
	require.ErrorIs(t, s.AddHost("a", nil, filepath.Join(dir, "a"), false, time.Now()), os.ErrNotExist, "no authority")
	require.NoError(t, s.Init([]string{"hub.example", "192.0.2.1"}, time.Now()))
	before, err := os.ReadFile(filepath.Join(s.PKI, credential.CA))
	require.NoError(t, err)
	require.ErrorIs(t, s.Init([]string{"hub"}, time.Now()), credential.ErrExists)
	after, err := os.ReadFile(filepath.Join(s.PKI, credential.CA))
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, s.AddHost("a", []string{bus.LogPipeline}, filepath.Join(dir, "a"), false, time.Now()))
	for _, folder := range []string{s.PKI, s.Keys, filepath.Join(dir, "a")} {
		info, err := os.Stat(folder)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), folder)
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.NotEmpty(t, entries)
		for _, e := range entries {
			info, err := e.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode(), e.Name())
		}
	}
}

// The health names a certificate thirty days before its end; a renewed one keeps its names.
func TestExpiryAndRenewal(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	s := credential.Store{PKI: filepath.Join(dir, "pki"), Keys: filepath.Join(dir, "keys")}
	require.NoError(t, s.Init([]string{"hub.example", "192.0.2.1"}, now.AddDate(0, 0, -336)))
	ca, cert, key := filepath.Join(s.PKI, credential.CA), filepath.Join(s.PKI, credential.ServerCert), filepath.Join(s.PKI, credential.ServerKey)
	reasons := credential.Expiring(now, ca, cert, "", filepath.Join(dir, "missing"))
	require.Len(t, reasons, 1)
	require.Contains(t, reasons[0], cert+" expires at "+now.AddDate(0, 0, 29).UTC().Format(time.DateOnly))
	require.Contains(t, credential.Expiring(now.AddDate(0, 0, 30), cert)[0], "has expired")
	require.Contains(t, reasons[0], "ironpost bus renew")
	require.NoError(t, s.AddHost("web-1", []string{bus.Edge}, filepath.Join(dir, "web-1"), false, now))
	require.Contains(t, credential.Expiring(now.AddDate(1, 0, 0), filepath.Join(dir, "web-1", bus.BundleCert))[0], "ironpost bus add-host --replace")
	require.Contains(t, credential.Expiring(now.AddDate(10, 0, 0), ca)[0], "ironpost bus init in an empty")
	require.NoError(t, s.Renew(nil, now))
	require.Empty(t, credential.Expiring(now, ca, cert))
	names, err := s.ServerNames()
	require.NoError(t, err)
	require.Equal(t, []string{"hub.example", "192.0.2.1"}, names)
	_, err = tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
}

// A daemon reads no more keys than bus.MaxKeys; those that are replaced do not count twice, nor what a write that was cut off left.
func TestNoKeyIsMadeThatIsNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := credential.Store{PKI: filepath.Join(dir, "pki"), Keys: filepath.Join(dir, "keys")}
	require.NoError(t, s.Init([]string{"hub"}, time.Now()))
	for i := range bus.MaxKeys - 1 {
		require.NoError(t, os.WriteFile(filepath.Join(s.Keys, fmt.Sprintf("log-pipeline.web-%d.nk", i)), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(s.Keys, ".edge.web-5.nk"), nil, 0o600))
	require.NoError(t, s.AddHost("last", []string{bus.Edge}, filepath.Join(dir, "last"), false, time.Now()))
	err := s.AddHost("more", []string{bus.Edge}, filepath.Join(dir, "more"), false, time.Now())
	require.ErrorContains(t, err, "more than 1024 keys")
	require.NoDirExists(t, filepath.Join(dir, "more"))
	require.NoError(t, s.AddHost("last", []string{bus.Edge}, filepath.Join(dir, "last.new"), true, time.Now()))
	_, err = s.Revoke("web-7", "")
	require.NoError(t, err)
	require.NoError(t, s.AddHost("more", []string{bus.Edge}, filepath.Join(dir, "more"), false, time.Now()))
}
