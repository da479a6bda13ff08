package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// rounds is how often a benchmark changes between ours and raw, so that whatever
// else the machine does falls on both.
const rounds = 10

// interleave times ours and raw in turns of n each, and reports the ratio of their
// rates.
func interleave(b *testing.B, n int, ours, raw func(from, n int)) {
	b.Helper()
	var took, tookRaw time.Duration
	for i := range rounds {
		if i%2 == 0 { // neither is always the first
			took += timed(ours, i*n, n)
			tookRaw += timed(raw, i*n, n)
			continue
		}
		tookRaw += timed(raw, i*n, n)
		took += timed(ours, i*n, n)
	}
	total := float64(rounds * n)
	b.ReportMetric(total/took.Seconds(), "ours/s")
	b.ReportMetric(total/tookRaw.Seconds(), "raw/s")
	b.ReportMetric(tookRaw.Seconds()/took.Seconds(), "ratio")
}

func timed(fn func(from, n int), from, n int) time.Duration {
	began := time.Now()
	fn(from, n)
	return time.Since(began)
}

// BenchmarkPublish compares Send of packets with PublishMsgAsync of the same bytes
// and headers through the same window. The bar is a ratio of 0.8.
func BenchmarkPublish(b *testing.B) {
	const window, n = 256, 20000
	srv := bustest.New(b)
	p := publisher(b, srv, bus.Packets, bus.EBPFEngine)
	js, err := jetstream.New(srv.Raw(bus.EBPFEngine), jetstream.WithPublishAsyncMaxPending(window))
	require.NoError(b, err)
	subject := bus.PacketSubject(bus.EBPFEngine, srv.Host())
	ctx := context.Background()
	rec := newPacket(srv.Host(), "x")
	body, err := event.Encode(rec)
	require.NoError(b, err)
	for run := 0; b.Loop(); run++ {
		interleave(b, n,
			func(from, n int) {
				for i := range n {
					rec.ID = fmt.Sprintf("ours-%d-%d", run, from+i)
					require.NoError(b, p.Send(ctx, rec))
				}
				require.NoError(b, p.Flush(ctx))
			},
			func(from, n int) {
				for i := range n {
					m := nats.NewMsg(subject)
					m.Data = body
					rawHeaders(m.Header, fmt.Sprintf("raw-%d-%d", run, from+i))
					_, err := js.PublishMsgAsync(m, jetstream.WithStallWait(patience))
					require.NoError(b, err)
				}
				<-js.PublishAsyncComplete()
			})
	}
}

func rawHeaders(h nats.Header, id string) {
	h.Set(bus.HeaderID, id)
	h.Set(bus.HeaderContentType, "application/json")
	h.Set(bus.HeaderSchema, "1")
	h.Set(bus.HeaderTraceparent, "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
}

// BenchmarkBacklog compares Publish of a backlog of fsynced alerts with raw atomic
// batches of 100 of the same bytes. The bar is a ratio of 0.8.
func BenchmarkBacklog(b *testing.B) {
	const n = 2000
	srv := bustest.New(b, bustest.WithLimits(bus.Limits{MaxStoreBytes: 2 << 30}))
	p := publisher(b, srv, bus.Alerts, bus.LogPipeline)
	js, err := jetstream.New(srv.Raw(bus.SBOMScanner))
	require.NoError(b, err)
	subject := bus.AlertSubject(bus.SBOMScanner, srv.Host())
	ctx := context.Background()
	body, err := event.Encode(newAlert(srv.Host(), "x"))
	require.NoError(b, err)
	for run := 0; b.Loop(); run++ {
		interleave(b, n,
			func(from, n int) {
				recs := make([]event.Record, n)
				for i := range recs {
					recs[i] = newAlert(srv.Host(), fmt.Sprintf("ours-%d-%d", run, from+i))
				}
				require.NoError(b, p.Publish(ctx, recs...))
			},
			func(from, n int) {
				for at := 0; at < n; at += 100 {
					msgs := make([]*nats.Msg, 100)
					for i := range msgs {
						msgs[i] = nats.NewMsg(subject)
						msgs[i].Data = body
						rawHeaders(msgs[i].Header, fmt.Sprintf("raw-%d-%d", run, from+at+i))
					}
					_, err := jetstreamext.PublishMsgBatch(ctx, js, msgs)
					require.NoError(b, err)
				}
			})
	}
}
