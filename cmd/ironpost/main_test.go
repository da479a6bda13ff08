package main

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
)

// TestMain lets the scripts run both programs: the test binary acts as the program
// that it is called by.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ironpost":        checkedMain,
		"ironpost-daemon": func() { os.Exit(suite.OS(suite.Daemon()).Run(context.Background())) },
	})
}

// noRaceSleep has programs that are built with the race detector end at once, not after a second.
const noRaceSleep = "GORACE=atexit_sleep_ms=0"

const patience = 30 * time.Second

// result is the exit code and the outputs of a call.
type result struct {
	code     int
	out, err string
}

// call runs the command in this process.
func call(t testing.TB, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	code := run(ctx, args, &out, &errs)
	require.NoError(t, checkOutput(args, out.Bytes()))
	return result{code: code, out: out.String(), err: errs.String()}
}

// on is call with the socket of a bus.
func on(t testing.TB, b *bustest.Bus, args ...string) result {
	t.Helper()
	return call(t, append([]string{"--socket", b.Socket(), "--utc"}, args...)...)
}

var began = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func alert(id string, change func(*event.Alert)) *event.Alert {
	a := &event.Alert{
		ID: id, Schema: event.Schema, TraceID: "t", Time: began, FirstSeen: began, LastSeen: began, Count: 1,
		Module: bus.LogPipeline, Host: "testhost", Severity: event.High, Title: "SSH brute force",
		Rule:   event.Rule{ID: "rule-1", Title: "SSH brute force", Level: event.High},
		Source: &event.Endpoint{IP: "203.0.113.7"}, User: "root", DedupKey: "k",
	}
	if change != nil {
		change(a)
	}
	return a
}

func action(id string, change func(*event.Action)) *event.Action {
	a := &event.Action{
		ID: id, Schema: event.Schema, TraceID: "t", Time: began, Module: bus.ContainerGuard, Host: "testhost",
		AlertID: "a", Policy: "p1", Kind: "isolate", Target: "web", Phase: event.Done, Reason: "because",
	}
	if change != nil {
		change(a)
	}
	return a
}

func publish(t testing.TB, b *bustest.Bus, module string, stream bus.StreamName, recs ...event.Record) {
	t.Helper()
	p, err := b.Conn(module).Publisher(bus.PublisherConfig{Stream: stream, Module: module, Host: b.Host()})
	require.NoError(t, err)
	require.NoError(t, p.Publish(t.Context(), recs...))
}

// daemon answers status requests as the daemon would.
func daemon(t testing.TB, b *bustest.Bus, health event.DaemonHealth) {
	t.Helper()
	stop, err := b.Admin().Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.Daemon, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{"status": func(context.Context, []byte) (any, error) { return health, nil }},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	blocklistDaemon(t, b)
}

// blocklistDaemon changes the blocklist for operators, as a daemon does.
func blocklistDaemon(t testing.TB, b *bustest.Bus) {
	t.Helper()
	conn := b.Admin()
	stop, err := conn.Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{Module: bus.Daemon, Host: b.Host(), Version: "v1.2.3", Acts: suite.BlocklistActs(conn, b.Host())})
	require.NoError(t, err)
	t.Cleanup(stop)
}

func healthOf(modules ...event.ModuleHealth) event.DaemonHealth {
	return event.DaemonHealth{
		Host: "testhost", Time: began, Version: "v1.2.3", Status: event.Worst(modules), UptimeSecs: 61, Modules: modules,
	}
}
