package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// patience is for a machine on which every test of the suite runs at the same time.
const patience = 2 * time.Minute

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func newAlert(host, id string) *event.Alert {
	now := time.Now().UTC()
	return &event.Alert{
		ID: id, Schema: event.Schema, TraceID: "0123456789abcdef0123456789abcdef", Time: now,
		FirstSeen: now, LastSeen: now, Count: 1, Module: bus.LogPipeline, Host: host,
		Rule:     event.Rule{ID: "rule-1", Title: "ssh brute force", Level: event.High},
		Severity: event.High, Title: "ssh brute force from 192.0.2.7", DedupKey: "rule-1/192.0.2.7",
		Evidence: []string{"Failed password for root from 192.0.2.7 port 4711 ssh2"},
	}
}

func alerts(host string, from, n int) []event.Record {
	recs := make([]event.Record, n)
	for i := range recs {
		recs[i] = newAlert(host, fmt.Sprintf("alert-%06d", from+i))
	}
	return recs
}

func newAction(host, id string) *event.Action {
	return &event.Action{
		ID: id, Schema: event.Schema, Time: time.Now().UTC(), Module: bus.ContainerGuard, Host: host,
		Kind: "notify", Target: "web", Phase: event.Intended,
	}
}

func newPacket(host, id string) *event.Packet {
	return &event.Packet{
		ID: id, Schema: event.Schema, TraceID: "0123456789abcdef0123456789abcdef", Time: time.Now().UTC(),
		Host: host, Interface: "eth0", Kind: event.Detection, Sampling: 1,
		Detection: &event.TrafficFinding{Name: "port_scan", Actor: "192.0.2.7", Target: event.Endpoint{IP: "192.0.2.1"}, DurationMS: 1000},
	}
}

func publisher(t testing.TB, b *bustest.Bus, stream bus.StreamName, module string) *bus.Publisher {
	t.Helper()
	p, err := b.Conn(module).Publisher(bus.PublisherConfig{Stream: stream, Module: module, Host: b.Host()})
	require.NoError(t, err)
	return p
}

func durable(t testing.TB, b *bustest.Bus, module string) bus.Durable {
	t.Helper()
	for _, d := range b.Durables() {
		if d.Module == module {
			return d
		}
	}
	require.FailNow(t, "no durable of "+module)
	return bus.Durable{}
}

// ids returns the ids that stream holds, in order.
func ids(t testing.TB, b *bustest.Bus, stream bus.StreamName) []string {
	t.Helper()
	var got []string
	err := b.Conn(bus.Operator).History(within(t, patience), stream, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		got = append(got, d.ID)
		return true
	})
	require.NoError(t, err)
	return got
}

func idsOf(recs []event.Record) []string {
	want := make([]string, len(recs))
	for i, r := range recs {
		want[i] = r.Meta().ID
	}
	return want
}
