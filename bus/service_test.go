package bus_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

type question struct{ Name string }

type reply struct{ Hello string }

func verbs() map[string]bus.Verb {
	return map[string]bus.Verb{
		"status": func(_ context.Context, body []byte) (any, error) { return reply{Hello: string(body)}, nil },
		"fail":   func(context.Context, []byte) (any, error) { return nil, errors.New("no such container") },
		"panic":  func(context.Context, []byte) (any, error) { panic("boom") },
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	stop, err := b.Conn(bus.ContainerGuard).Serve(t.Context(), bus.ServiceConfig{
		Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3-dev", Verbs: verbs(),
	})
	require.NoError(t, err)
	operator, ctx := b.Conn(bus.Operator), within(t, patience)

	var got reply
	require.NoError(t, operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, b.Host(), "status"), question{"x"}, &got))
	require.JSONEq(t, `{"Name":"x"}`, got.Hello)
	require.ErrorContains(t, operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, b.Host(), "fail"), nil, nil), "no such container")
	require.ErrorContains(t, operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, b.Host(), "panic"), nil, nil), "internal error")

	found, err := operator.Discover(ctx, 300*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []bus.ServiceStatus{{Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3-dev"}}, found)

	stop()
	require.ErrorIs(t, operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, b.Host(), "status"), nil, nil), bus.ErrUnreachable)
}

// The parts of a module serve their verbs through one service, and stop independently.
func TestVerbsOfOneModuleAreOneService(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn, operator, ctx := b.Conn(bus.EBPFEngine), b.Conn(bus.Operator), within(t, patience)
	serve := func(version, verb, says string) (func(), error) {
		return conn.Serve(t.Context(), bus.ServiceConfig{Module: bus.EBPFEngine, Host: b.Host(), Version: version, Verbs: map[string]bus.Verb{
			verb: func(context.Context, []byte) (any, error) { return reply{Hello: says}, nil },
		}})
	}
	ask := func(verb string) (string, error) {
		var got reply
		err := operator.Request(ctx, bus.VerbSubject(bus.EBPFEngine, b.Host(), verb), nil, &got)
		return got.Hello, err
	}
	raw := b.Raw(bus.Operator)
	services := func() (n int) { // as `nats micro ls` counts them; Discover lists each module once
		sub, err := raw.SubscribeSync(raw.NewInbox())
		require.NoError(t, err)
		require.NoError(t, raw.PublishRequest("$SRV.PING", sub.Subject, nil))
		for {
			if _, err := sub.NextMsg(300 * time.Millisecond); err != nil {
				return n
			}
			n++
		}
	}
	stopStatus, err := serve("v1.2.3", "status", "well")
	require.NoError(t, err)
	for _, says := range []string{"first", "again"} {
		stop, err := serve("", "blocklist", says)
		require.NoError(t, err)
		got, err := ask("blocklist")
		require.NoError(t, err)
		require.Equal(t, says, got)
		require.Equal(t, 1, services())
		_, err = serve("", "blocklist", "twice")
		require.ErrorContains(t, err, "served already")
		stop()
		stop()
		_, err = ask("blocklist")
		require.ErrorIs(t, err, bus.ErrUnreachable)
		got, err = ask("status")
		require.NoError(t, err)
		require.Equal(t, "well", got)
	}
	stopStatus()
	_, err = ask("status")
	require.ErrorIs(t, err, bus.ErrUnreachable)
	require.Zero(t, services())
}

// A stop does not wait for a server that is away.
func TestStopServingWithoutAServer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn, ctx := b.Conn(bus.ContainerGuard), within(t, patience)
	stop, err := conn.Serve(ctx, bus.ServiceConfig{Module: bus.ContainerGuard, Host: b.Host(), Version: "1.2.3", Verbs: verbs()})
	require.NoError(t, err)
	require.NoError(t, b.Server().Shutdown(ctx))
	require.Eventually(t, func() bool { return !conn.Connected() }, patience, time.Millisecond)
	began := time.Now()
	stop()
	require.Less(t, time.Since(began), time.Second)
}

// A server that does not answer in time makes Serve fail; its verbs can be served
// later.
func TestServeWorksAfterAFailedServe(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	o := b.Options(bus.ContainerGuard)
	way := &stallable{InProcess: o.InProcess}
	o.InProcess = way
	conn, err := bus.Connect(within(t, patience), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(within(t, patience)) })
	config := bus.ServiceConfig{Module: bus.ContainerGuard, Host: b.Host(), Version: "1.2.3", Verbs: verbs()}

	way.mu.Lock()
	_, err = conn.Serve(t.Context(), config)
	way.mu.Unlock()
	require.Error(t, err)
	stop, err := conn.Serve(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(stop)
	require.NoError(t, b.Conn(bus.Operator).Request(within(t, patience), bus.VerbSubject(bus.ContainerGuard, b.Host(), "status"), nil, nil))
}

func TestRequestWithoutServiceIsUnreachable(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	err := b.Conn(bus.Operator).Request(within(t, patience), bus.VerbSubject(bus.SBOMScanner, "elsewhere", "status"), nil, nil)
	require.ErrorIs(t, err, bus.ErrUnreachable)
}

func TestPublishedHealthReachesObservers(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	feed, err := b.Observer().SubscribeSync(bus.HealthSubject)
	require.NoError(t, err)
	conn := b.Admin()
	require.Eventually(t, func() bool {
		require.NoError(t, conn.PublishHealth(reply{"well"}))
		m, err := feed.NextMsg(100 * time.Millisecond)
		return err == nil && string(m.Data) == `{"Hello":"well"}`
	}, patience, time.Millisecond)
}

func TestSemver(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "0.0.0", "dev": "0.0.0", "1.2": "0.0.0", "v1.2.3": "1.2.3", "1.2.3-4-gabc": "1.2.3"} {
		require.Equal(t, want, bus.ServiceSemver(in), in)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan string, 1000), make(chan error, 1)
	operator := b.Conn(bus.Operator)
	go func() {
		done <- operator.Follow(ctx, bus.RepublishedAlerts, func(_ string, h map[string][]string, _ []byte) { got <- h[bus.HeaderID][0] })
	}()
	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.Eventually(t, func() bool {
		require.NoError(t, p.Publish(within(t, patience), newAlert(b.Host(), time.Now().String())))
		return len(got) > 0
	}, patience, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestHistorySinceAndFilter(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx := within(t, patience)
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(ctx, newAlert(b.Host(), "old")))
	var at time.Time
	operator := b.Conn(bus.Operator)
	require.NoError(t, operator.History(ctx, bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		at = d.StoredAt
		return true
	}))
	require.NoError(t, publisher(t, b, bus.Alerts, bus.SBOMScanner).Publish(ctx, newAlert(b.Host(), "new")))
	read := func(o bus.HistoryOptions) (got []string) {
		require.NoError(t, operator.History(ctx, bus.Alerts, o, func(d bus.Delivery) bool {
			got = append(got, d.ID)
			return true
		}))
		return got
	}
	require.Equal(t, []string{"new"}, read(bus.HistoryOptions{Since: at.Add(time.Nanosecond)}))
	require.Equal(t, []string{"old"}, read(bus.HistoryOptions{Filter: bus.AlertSubject(bus.LogPipeline, "*")}))
	require.Equal(t, []string{"old"}, read(bus.HistoryOptions{Limit: 1}))
	require.Empty(t, read(bus.HistoryOptions{Filter: bus.AlertSubject("*", "elsewhere")}))
}

// A history that is cut off is an error, and not that of the caller's context.
func TestHistoryReturnsAnErrorWhenTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx := within(t, patience)
	var alerts []event.Record
	for i := range 300 { // more than a page
		alerts = append(alerts, newAlert(b.Host(), strconv.Itoa(i)))
	}
	require.NoError(t, publisher(t, b, bus.Alerts, bus.LogPipeline).Publish(ctx, alerts...))
	stop := sync.OnceFunc(func() { require.NoError(t, b.Server().Shutdown(ctx)) })
	err := b.Conn(bus.Operator).History(ctx, bus.Alerts, bus.HistoryOptions{}, func(bus.Delivery) bool {
		stop()
		return true
	})
	require.ErrorIs(t, err, bus.ErrUnreachable)
	require.NotErrorIs(t, err, context.Canceled)
}

// A module may serve its status and its verbs apart, on one connection: both answer a
// ping, and neither is refused.
func TestServeTwiceOnOneConnection(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn, ctx := b.Conn(bus.ContainerGuard), within(t, patience)
	all := verbs()
	for _, part := range []map[string]bus.Verb{{"status": all["status"]}, {"fail": all["fail"]}} {
		stop, err := conn.Serve(ctx, bus.ServiceConfig{Module: bus.ContainerGuard, Host: b.Host(), Version: "1.2.3", Verbs: part})
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	operator := b.Conn(bus.Operator)
	found, err := operator.Discover(ctx, 300*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, []bus.ServiceStatus{{Module: bus.ContainerGuard, Host: b.Host(), Version: "1.2.3"}}, found)
	require.NoError(t, operator.Request(ctx, bus.VerbSubject(bus.ContainerGuard, b.Host(), "status"), nil, nil))
	require.Empty(t, conn.Violations())
}
