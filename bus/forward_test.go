package bus_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/credential"
	"github.com/ironpost/ironpost/internal/testenv"
)

const edgeHost = "edge-1"

// edgeBus is an edge's bus and the hub's, with a forwarder between them.
type edgeBus struct {
	t         *testing.T
	own, hub  *bustest.Bus
	forwarder *bus.Conn
	link      *bus.Conn
	toHub     bus.Options
	stop      func()
}

func newEdge(t *testing.T, options ...bustest.Option) *edgeBus {
	t.Helper()
	dir, address := t.TempDir(), testenv.FreeAddr(t)
	store := credential.Store{PKI: filepath.Join(dir, "pki"), Keys: filepath.Join(dir, "keys")}
	require.NoError(t, store.Init([]string{"127.0.0.1"}, time.Now()))
	require.NoError(t, store.AddHost(edgeHost, []string{bus.Edge}, filepath.Join(dir, "bundle"), false, time.Now()))
	options = append(options, bustest.WithConfig(func(c *embedded.Config) {
		c.Listen, c.KeysDir, c.TLSCA = address, store.Keys, filepath.Join(store.PKI, credential.CA)
		c.TLSCert, c.TLSKey = filepath.Join(store.PKI, credential.ServerCert), filepath.Join(store.PKI, credential.ServerKey)
	}))
	toHub, err := bus.FromBundle(filepath.Join(dir, "bundle"), bus.Edge, edgeHost, "tls://"+address)
	require.NoError(t, err)
	e := &edgeBus{t: t, hub: bustest.New(t, options...), own: newEdgeBus(t), toHub: toHub}
	e.start()
	return e
}

func newEdgeBus(t *testing.T) *bustest.Bus {
	t.Helper()
	return bustest.New(t, bustest.WithHost(edgeHost), bustest.WithModules(append(bus.ModuleNames(), bus.Forwarder)...))
}

// start starts the forwarder.
func (e *edgeBus) start() {
	e.t.Helper()
	var err error
	e.forwarder = e.own.Conn(bus.Forwarder)
	e.link, err = bus.Connect(within(e.t, patience), e.toHub)
	require.NoError(e.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, stream := range []bus.StreamName{bus.Alerts, bus.Actions} {
		d, ok := bus.DurableOf(bus.Forwarder, stream, edgeHost, bus.InFlight{})
		require.True(e.t, ok)
		f, err := bus.NewForward(e.forwarder, d, edgeHost, e.link)
		require.NoError(e.t, err)
		wg.Go(func() { _ = f.Run(ctx); f.Close() })
	}
	e.stop = sync.OnceFunc(func() { cancel(); wg.Wait(); _ = e.link.Close(within(e.t, patience)) })
	e.t.Cleanup(func() { e.stop() })
}

// store stores n alerts on the edge, of two modules in turn, and returns their ids.
func (e *edgeBus) store(name string, n int) []string {
	e.t.Helper()
	publishers := []*bus.Publisher{publisher(e.t, e.own, bus.Alerts, bus.LogPipeline), publisher(e.t, e.own, bus.Alerts, bus.SBOMScanner)}
	var want []string
	for i := range n {
		rec := newAlert(edgeHost, fmt.Sprintf("%s-%d", name, i))
		require.NoError(e.t, publishers[i%2].Publish(within(e.t, patience), rec))
		want = append(want, rec.Meta().ID)
	}
	return want
}

func (e *edgeBus) requireForwarded(want []string) {
	e.t.Helper()
	require.Eventually(e.t, func() bool { return len(ids(e.t, e.hub, bus.Alerts)) >= len(want) && e.unsent() == 0 }, patience, 5*time.Millisecond)
	require.Equal(e.t, want, ids(e.t, e.hub, bus.Alerts))
}

// forgetAcks makes everything unacknowledged.
func (e *edgeBus) forgetAcks() {
	e.t.Helper()
	_, err := e.own.Raw(bus.Daemon).Request("$JS.API.CONSUMER.RESET."+string(bus.Alerts)+".forwarder-alerts_"+edgeHost, []byte(`{"seq":1}`), patience)
	require.NoError(e.t, err)
}

func (e *edgeBus) unsent() uint64 {
	e.t.Helper()
	d, _ := bus.DurableOf(bus.Forwarder, bus.Alerts, edgeHost, bus.InFlight{})
	n, oldest, err := e.forwarder.Unsent(within(e.t, patience), d)
	require.NoError(e.t, err)
	require.True(e.t, n > 0 || oldest.IsZero())
	return n
}

// Records of several modules arrive at the hub in order, each once, with their subjects and headers.
func TestForward(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	want := e.store("a", 250)
	e.requireForwarded(want)
	var first bus.Delivery
	require.NoError(t, e.hub.Conn(bus.Operator).History(within(t, patience), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool { first = d; return false }))
	require.Equal(t, bus.AlertSubject(bus.LogPipeline, edgeHost), first.Subject)
	require.Equal(t, "1", first.Header[bus.HeaderEdgeSequence][0])
	require.Equal(t, []string{"application/json"}, first.Header[bus.HeaderContentType])
}

// The forwarder is stopped at any moment and started again, and its durable forgets what it had
// acknowledged, as after a crash: the hub has every record once, in order.
func TestForwardAfterLostAcks(t *testing.T) {
	t.Parallel()
	e := newEdge(t, bustest.WithLimits(bus.Limits{}.WithDuplicates(100*time.Millisecond))) // the hub forgets ids soon
	var want []string
	for round := range 5 {
		want = append(want, e.store(fmt.Sprint(round), 60)...)
		if round%2 == 0 {
			e.requireForwarded(want)
		}
		e.stop()
		e.forgetAcks()
		time.Sleep(150 * time.Millisecond) // longer than the hub remembers
		e.start()
	}
	e.requireForwarded(want)
}

// An edge whose store was lost forwards from the beginning of the new one.
func TestForwardFromANewStore(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	want := e.store("old", 20)
	e.requireForwarded(want)
	e.stop()
	e.own.Stop()
	e.own = newEdgeBus(t)
	e.start()
	e.requireForwarded(append(want, e.store("new", 30)...))
}

// While the hub is full the forwarder waits and the edge keeps.
func TestForwardToAFullHub(t *testing.T) {
	t.Parallel()
	e := newEdge(t, bustest.WithLimits(bus.Limits{MaxStoreBytes: 64 << 10}))
	want := e.store("a", 200)
	require.Eventually(t, func() bool { return len(e.link.Reasons()) > 0 }, patience, 5*time.Millisecond)
	require.Contains(t, e.link.Reasons()[0], "blocked")
	require.NotZero(t, e.unsent())
	stored := ids(t, e.hub, bus.Alerts)
	require.Less(t, len(stored), len(want))
	require.Equal(t, want[:len(stored)], stored)
	_, err := e.hub.Raw(bus.Daemon).Request("$JS.API.STREAM.PURGE."+string(bus.Alerts), nil, patience)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(ids(t, e.hub, bus.Alerts)) > 0 }, patience, 5*time.Millisecond)
}

// What no module published, and what does not fit, goes to the dead letters of the edge.
func TestForwardRefusesWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	raw := e.own.Raw(bus.LogPipeline)
	subject := bus.AlertSubject(bus.LogPipeline, edgeHost)
	reflected, large, plain := nats.NewMsg(subject), nats.NewMsg(subject), nats.NewMsg(subject)
	reflected.Header.Set("Nats-Sequence", "1")
	large.Header.Set("Ironpost-Severity", "high")
	large.Data = make([]byte, event.MaxSize+8<<10-100)
	for _, m := range []*nats.Msg{reflected, large, plain, plain} { // the last two have no id
		_, err := raw.RequestMsg(m, patience)
		require.NoError(t, err)
	}
	e.requireForwarded([]string{subject + ".3", subject + ".4"})
	require.Len(t, ids(t, e.own, bus.DLQ), 2)
}
