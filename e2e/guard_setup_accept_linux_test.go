//go:build accept && linux

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
)

const containerCount = 50 // containers

// guardSetup is a daemon with a guard, a dockerd, and a connection that publishes alerts
// like a log pipeline on another machine.
type guardSetup struct {
	*instance
	engine   *testenv.Docker
	docker   *docker.Client
	alerts   *bus.Publisher
	operator *bus.Conn
	n        int
}

const remotePipeline = bus.LogPipeline + "." + testHost

// newGuardSetup starts all of it with these keys of [container] and these policies.
func newGuardSetup(t *testing.T, keys string, policies string) *guardSetup {
	t.Helper()
	f := &guardSetup{instance: newInstance(t), engine: testenv.Dockerd(t)}
	remote := f.listen(remotePipeline)
	f.appendConfig(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n%s\n",
		f.engine.Socket, f.path("policies.toml"), keys))
	f.write("policies.toml", policies)
	f.start()
	var err error
	f.docker, err = docker.Connect(f.engine.Socket)
	require.NoError(t, err)
	t.Cleanup(f.docker.Close)
	f.alerts, err = remote.connect(remotePipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: testHost})
	require.NoError(t, err)
	f.operator, err = bus.DialSocket(t.Context(), f.path("bus.sock"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.operator.Close(context.WithoutCancel(t.Context())) })
	return f
}

const wideCaps = "max_per_minute = 10000\nmax_per_project = 10000\nmax_share_percent = 100\n"

// runContainers runs n containers and waits until the guard knows them.
func (f *guardSetup) runContainers(n int) []string {
	f.t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, f.engine.Run(f.t, testenv.ContainerOptions{Name: fmt.Sprintf("c%d", i)}))
	}
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= uint64(n) })
	return ids
}

func (f *guardSetup) alert(change func(*event.Alert)) *event.Alert {
	f.n++
	now := time.Now().UTC()
	a := &event.Alert{
		ID: fmt.Sprintf("accept-%06d", f.n), Schema: event.Schema, TraceID: fmt.Sprintf("%032x", f.n), Time: now, FirstSeen: now, LastSeen: now,
		Count: 1, Module: bus.LogPipeline, Host: testHost, Severity: event.High, Title: "an attack",
		Rule: event.Rule{ID: "rule", Title: "rule", Level: event.High}, DedupKey: fmt.Sprint(f.n),
		Origin: &event.Origin{Transport: event.TransportPackets}, Trust: event.TrustKernel, // which limits no answer
	}
	change(a)
	return a
}

func byID(id string) func(*event.Alert) {
	return func(a *event.Alert) { a.Container = &event.Container{ID: id} }
}

func (f *guardSetup) publish(alerts ...*event.Alert) {
	f.t.Helper()
	recs := make([]event.Record, len(alerts))
	for i, a := range alerts {
		recs[i] = a
	}
	require.NoError(f.t, f.alerts.Publish(f.t.Context(), recs...))
}

func (f *guardSetup) request(verb string, req, resp any) {
	f.t.Helper()
	if verb == containerguard.VerbIsolate || verb == containerguard.VerbRelease {
		require.NoError(f.t, f.operator.Operate(f.t.Context(), bus.ContainerGuard, testHost, verb, req, resp))
		return
	}
	require.NoError(f.t, f.operator.Request(f.t.Context(), bus.VerbSubject(bus.ContainerGuard, testHost, verb), req, resp))
}

// quarantined returns the quarantined containers by id.
func (f *guardSetup) quarantined() map[string]containerguard.Quarantined {
	f.t.Helper()
	var reply containerguard.QuarantineReply
	f.request(containerguard.VerbQuarantine, nil, &reply)
	out := map[string]containerguard.Quarantined{}
	for _, h := range reply.Quarantined {
		out[h.Container] = h
	}
	return out
}

func (f *guardSetup) releaseAll() {
	f.t.Helper()
	for id := range f.quarantined() {
		var reply containerguard.ReleaseReply
		f.request(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id}, &reply)
	}
	f.eventually(func() bool { return len(f.quarantined()) == 0 })
}

// percentile returns the percentile p, for example 0.99, of durations.
func percentile(in []time.Duration, p float64) time.Duration {
	sorted := slices.Sorted(slices.Values(in))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p))]
}

// summary describes the distribution of durations.
func summary(in []time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("n %d p50 %.1f ms p99 %.1f ms max %.1f ms", len(in), ms(percentile(in, 0.5)), ms(percentile(in, 0.99)), ms(slices.Max(in)))
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// paused counts the containers that are paused according to Docker.
func (f *guardSetup) paused() int {
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
