//go:build accept && linux

package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
)

// Long runs of the container guard behind `make accept-container-guard`, with the
// daemon as it is built and a dockerd of their own. Each prints its number and its
// bar, and the bare API's number of the same run where the bar is relative.

const accepted = 50 // containers

// field is a daemon with a guard, a dockerd, and a log pipeline elsewhere that says
// what it is told to.
type field struct {
	*stage
	engine   *testenv.Docker
	docker   *docker.Client
	alerts   *bus.Publisher
	operator *bus.Conn
	n        int
}

const pipelineElsewhere = bus.LogPipeline + "." + stageHost

// newField starts all of it with the given keys of [container] and policies.
func newField(t *testing.T, keys string, policies string) *field {
	t.Helper()
	f := &field{stage: newStage(t), engine: testenv.Dockerd(t)}
	remote := f.listen(pipelineElsewhere)
	f.appendConfig(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n%s\n",
		f.engine.Socket, f.path("policies.toml"), keys))
	f.write("policies.toml", policies)
	f.start()
	var err error
	f.docker, err = docker.Connect(f.engine.Socket)
	require.NoError(t, err)
	t.Cleanup(f.docker.Close)
	f.alerts, err = remote.connect(pipelineElsewhere).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: stageHost})
	require.NoError(t, err)
	f.operator, err = bus.DialSocket(t.Context(), f.path("bus.sock"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.operator.Close(context.WithoutCancel(t.Context())) })
	return f
}

const wideCaps = "max_per_minute = 10000\nmax_per_project = 10000\nmax_share_percent = 100\n"

// fill runs n containers and waits until the guard knows them.
func (f *field) fill(n int) []string {
	f.t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, f.engine.Run(f.t, testenv.ContainerOptions{Name: fmt.Sprintf("c%d", i)}))
	}
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= uint64(n) })
	return ids
}

func (f *field) alert(change func(*event.Alert)) *event.Alert {
	f.n++
	now := time.Now().UTC()
	a := &event.Alert{
		ID: fmt.Sprintf("accept-%06d", f.n), Schema: event.Schema, TraceID: fmt.Sprintf("%032x", f.n), Time: now, FirstSeen: now, LastSeen: now,
		Count: 1, Module: bus.LogPipeline, Host: stageHost, Severity: event.High, Title: "an attack",
		Rule: event.Rule{ID: "rule", Title: "rule", Level: event.High}, DedupKey: fmt.Sprint(f.n),
	}
	change(a)
	return a
}

func byID(id string) func(*event.Alert) {
	return func(a *event.Alert) { a.Container = &event.Container{ID: id} }
}

func (f *field) publish(alerts ...*event.Alert) {
	f.t.Helper()
	recs := make([]event.Record, len(alerts))
	for i, a := range alerts {
		recs[i] = a
	}
	require.NoError(f.t, f.alerts.Publish(f.t.Context(), recs...))
}

func (f *field) ask(verb string, req, resp any) {
	f.t.Helper()
	require.NoError(f.t, f.operator.Request(f.t.Context(), bus.StatusSubject(bus.ContainerGuard, stageHost, verb), req, resp))
}

// held returns what is in quarantine, by container.
func (f *field) held() map[string]containerguard.Held {
	f.t.Helper()
	var reply containerguard.QuarantineReply
	f.ask(containerguard.VerbQuarantine, nil, &reply)
	out := map[string]containerguard.Held{}
	for _, h := range reply.Held {
		out[h.Container] = h
	}
	return out
}

func (f *field) releaseAll() {
	f.t.Helper()
	for id := range f.held() {
		var reply containerguard.ReleaseReply
		f.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id}, &reply)
	}
	f.eventually(func() bool { return len(f.held()) == 0 })
}

// percentile of durations, such as 0.99.
func percentile(in []time.Duration, p float64) time.Duration {
	sorted := slices.Sorted(slices.Values(in))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p))]
}

// said describes durations.
func said(in []time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("n %d p50 %.1f ms p99 %.1f ms max %.1f ms", len(in), ms(percentile(in, 0.5)), ms(percentile(in, 0.99)), ms(slices.Max(in)))
}

// bare measures the API alone: pause, and pause with disconnect, each seen by an inspect.
func (f *field) bare(id string) (pause, both time.Duration) {
	f.t.Helper()
	ctx := f.t.Context()
	before, _, err := f.docker.Inspect(ctx, id)
	require.NoError(f.t, err)
	began := time.Now()
	require.NoError(f.t, f.docker.Pause(ctx, id))
	c, _, err := f.docker.Inspect(ctx, id)
	pause = time.Since(began)
	require.NoError(f.t, err)
	require.True(f.t, c.Paused)
	n := before.Networks[0]
	require.NoError(f.t, f.docker.Disconnect(ctx, n.NetworkID, id))
	c, _, err = f.docker.Inspect(ctx, id)
	both = time.Since(began)
	require.NoError(f.t, err)
	require.Empty(f.t, c.Networks)
	require.NoError(f.t, f.docker.Connect(ctx, n.NetworkID, id, n))
	require.NoError(f.t, f.docker.Unpause(ctx, id))
	return pause, both
}

// TestAcceptGuardLatency: alert published → frozen and verified, and fully isolated,
// each beside the bare API of the same run.
func TestAcceptGuardLatency(t *testing.T) {
	f := newField(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"isolate\"]\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	ids := f.fill(accepted)
	var barePause, bareBoth, frozen, isolated []time.Duration
	for round := range 8 { // one by one in turn, so that both have the same neighbours
		for i := range accepted / 2 {
			quiet, struck := ids[2*i+round%2], ids[2*i+1-round%2]
			pause, both := f.bare(quiet)
			barePause, bareBoth = append(barePause, pause), append(bareBoth, both)
			began := time.Now()
			f.publish(f.alert(byID(struck)))
			var h containerguard.Held
			f.eventually(func() bool { h = f.held()[struck]; return h.State == "held" })
			frozen, isolated = append(frozen, h.FrozenAt.Sub(began)), append(isolated, h.HeldAt.Sub(began))
		}
		f.releaseAll()
	}
	t.Logf("bare pause:               %s", said(barePause))
	t.Logf("alert → frozen:           %s (bar: p99 ≤ %v)", said(frozen), percentile(barePause, 0.99)+25*time.Millisecond)
	t.Logf("bare pause + disconnect:  %s", said(bareBoth))
	t.Logf("alert → isolated:         %s (bar: p99 ≤ %v)", said(isolated), percentile(bareBoth, 0.99)+50*time.Millisecond)
	require.LessOrEqual(t, percentile(frozen, 0.99), percentile(barePause, 0.99)+25*time.Millisecond)
	require.LessOrEqual(t, percentile(isolated, 0.99), percentile(bareBoth, 0.99)+50*time.Millisecond)
}

// TestAcceptGuardBurst: 50 alerts at once, all frozen within 0.6 s; then with a cap,
// exactly as many as it allows.
func TestAcceptGuardBurst(t *testing.T) {
	f := newField(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"isolate\"]\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	ids := f.fill(accepted)
	bare := f.bareBurst(ids)
	var last []time.Duration
	for range 3 {
		var burst []*event.Alert
		for _, id := range ids {
			burst = append(burst, f.alert(byID(id)))
		}
		began := time.Now()
		f.publish(burst...)
		f.eventually(func() bool {
			n := 0
			for _, h := range f.held() {
				if h.State == "held" {
					n++
				}
			}
			return n == accepted
		})
		var slowest, ordered, cut time.Time
		for _, h := range f.held() {
			slowest, ordered, cut = later(slowest, h.FrozenAt), later(ordered, h.Ordered), later(cut, h.HeldAt)
		}
		last = append(last, slowest.Sub(began))
		t.Logf("all taken in after %v, all frozen after %v, all isolated after %v", ordered.Sub(began), slowest.Sub(began), cut.Sub(began))
		f.releaseAll()
	}
	t.Logf("50 bare pauses at once: %v; 50 alerts at once, all frozen: %v (bar 600 ms)", bare, last)
	require.LessOrEqual(t, slices.Max(last), 600*time.Millisecond)
}

// bareBurst pauses all at once through the API alone.
func (f *field) bareBurst(ids []string) time.Duration {
	f.t.Helper()
	began := time.Now()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			require.NoError(f.t, f.docker.Pause(f.t.Context(), id))
			_, _, err := f.docker.Inspect(f.t.Context(), id)
			require.NoError(f.t, err)
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, id := range ids {
		require.NoError(f.t, f.docker.Unpause(f.t.Context(), id))
	}
	return took
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// TestAcceptGuardCaps: of 50 alerts at once exactly as many act as a cap allows.
func TestAcceptGuardCaps(t *testing.T) {
	for name, keys := range map[string]string{
		"per minute":  "max_per_minute = 20\nmax_per_project = 10000\nmax_share_percent = 100\n",
		"per project": "max_per_minute = 10000\nmax_per_project = 20\nmax_share_percent = 100\n",
		"share":       "max_per_minute = 10000\nmax_per_project = 10000\nmax_share_percent = 40\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, keys, "[[policy]]\nid = \"p\"\nactions = [\"pause\"]\nmatch.severity = \"high\"\n")
			var ids []string
			for i := range accepted {
				ids = append(ids, f.engine.Run(t, testenv.ContainerOptions{Name: fmt.Sprint("c", i), Labels: map[string]string{"com.docker.compose.project": "shop"}}))
			}
			f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= accepted })
			var burst []*event.Alert
			for _, id := range ids {
				burst = append(burst, f.alert(byID(id)))
			}
			f.publish(burst...)
			f.eventually(func() bool {
				return f.counter(bus.ContainerGuard, "orders")+f.counter(bus.ContainerGuard, "skipped") == accepted
			})
			f.eventually(func() bool { return f.paused() >= 20 })
			t.Logf("%s: cap 20, paused %d (bar: 20)", name, f.paused())
			require.Equal(t, 20, f.paused())
		})
	}
}

// paused counts what the engine says is paused.
func (f *field) paused() int {
	f.t.Helper()
	all, err := f.docker.List(f.t.Context())
	require.NoError(f.t, err)
	n := 0
	for _, c := range all {
		if c.Paused {
			n++
		}
	}
	return n
}

// TestAcceptGuardBlocks: alert published → the entry stands in the bucket, which
// engines watch.
func TestAcceptGuardBlocks(t *testing.T) {
	f := newField(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"block-source\"]\nmatch.severity = \"high\"\n")
	list, err := f.operator.Blocklist(t.Context())
	require.NoError(t, err)
	kv, err := f.operator.KV(t.Context(), bus.BlocklistBucket)
	require.NoError(t, err)
	seen := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watching := make(chan struct{})
	go func() {
		_ = kv.Watch(ctx, func(e bus.KVEvent) {
			if e.Snapshot {
				close(watching)
				return
			}
			seen <- e.Entry.Key
		})
	}()
	<-watching
	var took []time.Duration
	for i := range 200 {
		addr := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		began := time.Now()
		f.publish(f.alert(func(a *event.Alert) { a.Source = &event.Endpoint{IP: addr.String()} }))
		require.Equal(t, bus.BlockKey(netip.PrefixFrom(addr, 32)), <-seen)
		took = append(took, time.Since(began))
	}
	t.Logf("alert → entry seen by a watcher: %s (bar: p99 ≤ 100 ms with the engine's part)", said(took))
	require.LessOrEqual(t, percentile(took, 0.99), 100*time.Millisecond)
	blocks, invalid, err := list.List(t.Context())
	require.NoError(t, err)
	require.Len(t, blocks, 200)
	require.Zero(t, invalid)
}

// TestAcceptGuardHostile: 1,000 alerts at the protected set do nothing; 10,000 that
// name one container isolate it once.
func TestAcceptGuardHostile(t *testing.T) {
	f := newField(t, wideCaps+"protected = [\"core-*\"]\n", "[[policy]]\nid = \"p\"\nactions = [\"isolate\", \"kill\"]\nattribute_by = [\"id\", \"name\", \"address\", \"image\"]\nmatch.severity = \"high\"\n")
	owner := f.engine.Run(t, testenv.ContainerOptions{Name: "owner"})
	targets := []string{
		owner,
		f.engine.Run(t, testenv.ContainerOptions{Name: "labelled", Labels: map[string]string{"ironpost.protected": ""}}),
		f.engine.Run(t, testenv.ContainerOptions{Name: "core-db"}),
	}
	f.engine.Run(t, testenv.ContainerOptions{Name: "side", Network: "container:" + owner, Labels: map[string]string{"ironpost.protected": "true"}})
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= 4 })
	addresses := map[string]string{}
	for _, id := range targets {
		c, _, err := f.docker.Inspect(t.Context(), id)
		require.NoError(t, err)
		addresses[id] = c.Networks[0].IPv4.String()
	}
	names := map[string]string{targets[0]: "owner", targets[1]: "labelled", targets[2]: "core-db"}
	for range 10 {
		var batch []*event.Alert
		for range 100 {
			id := targets[rand.IntN(len(targets))]
			batch = append(batch, f.alert(func(a *event.Alert) {
				switch rand.IntN(4) {
				case 0:
					byID(id)(a)
				case 1:
					a.Container = &event.Container{Name: names[id]}
				case 2:
					a.Source = &event.Endpoint{IP: addresses[id]}
				case 3:
					a.Container = &event.Container{Image: testenv.DockerImage}
				}
			}))
		}
		f.publish(batch...)
	}
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "alerts") >= 1000 })
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "skipped") >= 2000 })
	orders := f.counter(bus.ContainerGuard, "orders")
	t.Logf("1,000 hostile alerts: %d orders, %d paused (bar 0)", orders, f.paused())
	require.Zero(t, orders)
	require.Zero(t, f.paused())

	victim := f.engine.Run(t, testenv.ContainerOptions{Name: "victim"})
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= 5 })
	for range 100 {
		var batch []*event.Alert
		for range 100 {
			batch = append(batch, f.alert(byID(victim)))
		}
		f.publish(batch...)
	}
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "alerts") >= 11_000 })
	f.eventually(func() bool { return f.held()[victim].State == "held" })
	done := 0
	for line := range strings.Lines(f.ironpost("actions", "--json", "--limit", "0", "--phase", "done", "--kind", "isolate")) {
		if strings.Contains(line, victim) {
			done++
		}
	}
	t.Logf("10,000 alerts naming one container: %d isolations (bar 1)", done)
	require.Equal(t, 1, done)
}

// trial is one random alert and what must come of it.
type trial struct {
	alert *event.Alert
	want  string // container id; empty: skipped
	why   string
}

// crowd is a set of containers that come and go, with what is true of them.
type crowd struct {
	f    *field
	live []*member
	gone []*member
	n    int
}

type member struct {
	docker.Container
	known time.Time // from when on the guard can know it
	ended time.Time
}

// add runs a container on one of the networks. Addresses are reused at once.
func (c *crowd) add() {
	c.n++
	network := []string{"one", "two"}[c.n%2]
	id := c.f.engine.Run(c.f.t, testenv.ContainerOptions{Name: fmt.Sprint("m", c.n), Network: network})
	got, _, err := c.f.docker.Inspect(c.f.t.Context(), id)
	require.NoError(c.f.t, err)
	c.live = append(c.live, &member{Container: got, known: time.Now()})
}

// end removes a random container.
func (c *crowd) end() {
	i := rand.IntN(len(c.live))
	m := c.live[i]
	m.ended = time.Now()
	c.f.engine.Remove(c.f.t, m.ID)
	c.live = slices.Delete(c.live, i, i+1)
	c.gone = append(c.gone, m)
}

func (c *crowd) rename() {
	m := c.live[rand.IntN(len(c.live))]
	c.n++
	name := fmt.Sprint("r", c.n)
	c.f.engine.Do(c.f.t, "POST", "/containers/"+m.ID+"/rename?name="+name, nil, nil)
	m.Name, m.known = name, time.Now()
}

// trial makes an alert about a container that is, or was, there. A stale one is about
// one that is gone, by what the next may have now.
func (c *crowd) trial() trial {
	m := c.live[rand.IntN(len(c.live))]
	stale := len(c.gone) > 0 && rand.IntN(3) == 0
	at := time.Now()
	if stale {
		m = c.gone[max(0, len(c.gone)-5)+rand.IntN(min(5, len(c.gone)))]
		at = m.ended.Add(-time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	key := []string{"id", "address", "name", "pid"}[rand.IntN(4)]
	t := trial{why: key}
	if stale {
		t.why = "stale " + key
	} else {
		t.want = m.ID
	}
	t.alert = c.f.alert(func(a *event.Alert) {
		a.FirstSeen, a.LastSeen = at.UTC(), at.UTC()
		switch key {
		case "id":
			a.Container = &event.Container{ID: m.ID}
		case "address":
			a.Source = &event.Endpoint{IP: m.Networks[0].IPv4.String()}
		case "name":
			a.Container = &event.Container{Name: m.Name}
		case "pid":
			a.PID = m.PID
		}
	})
	return t
}

// TestAcceptGuardAttribution: 500 random alerts while containers come, go, take over
// addresses and are renamed: never a wrong one.
func TestAcceptGuardAttribution(t *testing.T) {
	trials := 500
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_TRIALS")); err == nil { // fewer, to look at the test itself
		trials = n
	}
	f := newField(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"pause\"]\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	f.engine.Network(t, "one", "10.231.1.0/28")
	f.engine.Network(t, "two", "10.231.2.0/28")
	c := &crowd{f: f}
	for range 10 {
		c.add()
	}
	wrong, right, shy, staleSkipped := 0, 0, 0, 0
	reasons := map[string]int{}
	for range trials {
		switch rand.IntN(4) {
		case 0:
			c.end()
			c.add()
		case 1:
			c.rename()
		}
		tr := c.trial()
		f.publish(tr.alert)
		got, reason := f.cameOf(tr.alert)
		switch {
		case got == "" && tr.want == "":
			staleSkipped++
		case got == "":
			shy++
			reasons[tr.why+": "+reason]++
		case got == tr.want:
			right++
		default:
			wrong++
			t.Logf("wrong: %s got %s want %q at %v", tr.why, got, tr.want, tr.alert.LastSeen)
		}
		require.LessOrEqual(t, f.paused(), 1)
		if got != "" {
			f.releaseAll()
		}
	}
	t.Logf("%d trials: right %d, stale ones skipped %d, wrong %d (bar 0), not certain enough %d: %v", trials, right, staleSkipped, wrong, shy, reasons)
	require.Zero(t, wrong)
	require.Greater(t, right, trials/3)
}

// cameOf waits for the report about an alert: the container that was paused, or why none.
func (f *field) cameOf(a *event.Alert) (container, reason string) {
	f.t.Helper()
	f.eventually(func() bool {
		found := false
		err := f.operator.History(f.t.Context(), bus.Actions, bus.HistoryOptions{Since: a.Time.Add(-time.Second), Filter: bus.ActionSubject("*", stageHost)}, func(d bus.Delivery) bool {
			var got event.Action
			if event.Decode(d.Data, &got) != nil || got.AlertID != a.ID || got.Phase == event.Intended {
				return true
			}
			found, reason, container = true, cmp.Or(got.Error, got.Reason), ""
			if got.Phase == event.Done && got.Container != nil {
				container = got.Container.ID
			}
			return false
		})
		require.NoError(f.t, err)
		return found
	})
	return container, reason
}
