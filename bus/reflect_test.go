package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// The holder of a stolen key can have the server answer to any subject. These tests try to
// exploit that.

const blocklistStream = "KV_" + bus.BlocklistBucket

// A client that may watch a bucket may not have the server deliver it elsewhere.
func TestWatcherMayNotMakeAConsumer(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	require.NoError(t, put(b, bus.ContainerGuard, `{"container":"web"}`))
	calls := serveIsolate(t, b)
	create, err := json.Marshal(map[string]any{
		"stream_name": blocklistStream,
		"config": map[string]any{
			"name": "x", "deliver_subject": bus.VerbSubject(bus.ContainerGuard, b.Host(), "isolate"),
			"ack_policy": "none", "deliver_policy": "all",
		},
	})
	require.NoError(t, err)
	for _, thief := range []string{bus.EBPFEngine, bus.ContainerGuard, bus.Operator, bus.ActionCollector} {
		raw := b.Raw(thief)
		_, err := raw.Request("$JS.API.CONSUMER.CREATE."+blocklistStream+".x", create, 200*time.Millisecond)
		require.Error(t, err, thief)
		require.ErrorIs(t, raw.LastError(), nats.ErrPermissionViolation, thief)
	}
	require.Zero(t, calls.Load())
}

func put(b *bustest.Bus, module, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kv, err := b.Conn(module).KV(ctx, bus.BlocklistBucket)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, "evil", []byte(value), 0)
	return err
}

// serveIsolate counts what reaches a verb.
func serveIsolate(t *testing.T, b *bustest.Bus) *atomic.Int64 {
	t.Helper()
	var calls atomic.Int64
	stop, err := b.Conn(bus.ContainerGuard).Serve(t.Context(), bus.ServiceConfig{
		Module: bus.ContainerGuard, Host: b.Host(), Version: "1.2.3",
		Verbs: map[string]bus.Verb{"isolate": func(context.Context, []byte) (any, error) { return calls.Add(1), nil }},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	return &calls
}

// Two ways are left to have the server deliver to a verb: a direct get, and a pull request.
// Neither is answered.
func TestServeDropsMessagesThatAreNoRequests(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	calls := serveIsolate(t, b)
	isolate := bus.VerbSubject(bus.ContainerGuard, b.Host(), "isolate")
	require.NoError(t, put(b, bus.ContainerGuard, `{"container":"web"}`))
	require.NoError(t, publisher(t, b, bus.Actions, bus.ContainerGuard).Publish(within(t, patience), newAction(b.Host(), "a")))

	engine, collector := b.Raw(bus.EBPFEngine), b.Raw(bus.ActionCollector)
	require.NoError(t, engine.PublishRequest("$JS.API.DIRECT.GET."+blocklistStream, isolate, []byte(`{"seq":1}`)))
	d := durable(t, b, bus.ActionCollector)
	require.NoError(t, collector.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+string(d.Stream)+"."+d.Name, isolate, nil))
	require.NoError(t, engine.Flush())
	require.NoError(t, collector.Flush())
	require.Eventually(t, func() bool { return state(t, b, bus.Actions).Durables[0].AckPending == 1 }, patience, 10*time.Millisecond, "delivered")

	var n int64 // requests are answered in order, so both came before this one
	require.NoError(t, b.Conn(bus.Operator).Request(within(t, patience), isolate, nil, &n))
	require.Equal(t, int64(1), n)
	require.Equal(t, int64(1), calls.Load())
}

// A producer can have its own alert copied to a key of the blocklist. That is no entry.
func TestKVIgnoresReflectedCopies(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	guard, ctx := bucket(t, b, bus.ContainerGuard), within(t, patience)
	_, err := guard.Put(ctx, "real", []byte("1"), 0)
	require.NoError(t, err)
	events := watched(t, bucket(t, b, bus.EBPFEngine))
	require.Len(t, receive(t, events).Entries, 1)

	p := publisher(t, b, bus.Alerts, bus.LogPipeline)
	require.NoError(t, p.Publish(ctx, newAlert(b.Host(), "a"))) // singly: a bucket takes no batches
	require.NoError(t, p.Publish(ctx, newAlert(b.Host(), "b")))
	raw := b.Raw(bus.LogPipeline)
	for seq, key := range map[int]string{1: "forged", 2: "real"} { // a bucket, too, stores an id once
		body := fmt.Appendf(nil, `{"seq":%d}`, seq)
		require.NoError(t, raw.PublishRequest("$JS.API.DIRECT.GET.IRONPOST_ALERTS", "$KV."+bus.BlocklistBucket+"."+key, body))
	}
	require.NoError(t, raw.Flush())
	require.Eventually(t, func() bool {
		_, _, err := guard.Get(ctx, "real")
		return errors.Is(err, bus.ErrNotFound) // what was there is overwritten, and what is there is none
	}, patience, time.Millisecond)
	_, _, err = guard.Get(ctx, "forged")
	require.ErrorIs(t, err, bus.ErrNotFound)
	list, err := guard.List(ctx)
	require.NoError(t, err)
	require.Empty(t, list)

	_, err = guard.Put(ctx, "after", []byte("2"), 0)
	require.NoError(t, err)
	e := receive(t, events)
	require.Equal(t, "after", e.Entry.Key, "a watcher keeps what it had")
}

// The headers of a stored message may be named like those the server adds when it
// is read, or like a status.
func TestReadUsesTheServersHeaders(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	raw := b.Raw(bus.LogPipeline)
	for n := range 300 { // more than a page
		m := nats.NewMsg(bus.AlertSubject(bus.LogPipeline, b.Host()))
		m.Header.Set(bus.HeaderID, fmt.Sprint(n))
		m.Header.Set("Nats-Sequence", "1")
		m.Header.Set("Nats-Subject", bus.ActionSubject(bus.ContainerGuard, b.Host()))
		m.Header.Set("Nats-Time-Stamp", "1970-01-01T00:00:00Z")
		m.Header.Set("Status", "204")
		_, err := raw.RequestMsg(m, patience)
		require.NoError(t, err)
	}
	seq := uint64(0)
	err := b.Conn(bus.Operator).History(within(t, patience), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		seq++
		require.Equal(t, seq, d.Sequence)
		require.Equal(t, bus.AlertSubject(bus.LogPipeline, b.Host()), d.Subject)
		require.Less(t, time.Since(d.StoredAt), time.Hour)
		return true
	})
	require.NoError(t, err)
	require.Equal(t, uint64(300), seq)
}
