package actioncollector_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/actioncollector"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// BenchmarkBacklog compares how fast a backlog is audited with one fsync for each action, on the same disk.
func BenchmarkBacklog(b *testing.B) {
	const backlog, singly = 2000, 100
	var together, alone time.Duration
	for b.Loop() {
		together += auditBacklog(b, backlog)
		alone += auditSingly(b, singly)
	}
	rate := float64(b.N*backlog) / together.Seconds()
	one := float64(b.N*singly) / alone.Seconds()
	b.ReportMetric(rate, "actions/s")
	b.ReportMetric(one, "singly/s")
	b.ReportMetric(rate/one, "ratio")
}

func auditBacklog(b *testing.B, n int) time.Duration {
	b.Helper()
	bed := bustest.New(b)
	p, err := bed.Conn(bus.ContainerGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: bed.Host()})
	require.NoError(b, err)
	recs := make([]event.Record, n)
	for i := range recs {
		recs[i] = action(i)
	}
	require.NoError(b, p.Publish(b.Context(), recs...))
	s, err := actioncollector.New(actioncollector.Config{Enabled: true, AuditPath: filepath.Join(b.TempDir(), "audit")},
		actioncollector.Deps{Bus: bed.Conn(bus.ActionCollector), Host: bed.Host(), Log: silent()})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	done, began := make(chan error, 1), time.Now()
	go func() { done <- s.Run(ctx) }()
	for s.Health().Counters["actions_audited"] < uint64(n) {
		time.Sleep(100 * time.Microsecond)
	}
	took := time.Since(began)
	stop()
	require.NoError(b, <-done)
	return took
}

func auditSingly(b *testing.B, n int) time.Duration {
	b.Helper()
	trail, err := audit.Open(b.Context(), audit.Config{Dir: filepath.Join(b.TempDir(), "audit")})
	require.NoError(b, err)
	defer func() { require.NoError(b, trail.Close()) }()
	began := time.Now()
	for i := range n {
		_, err := trail.Append(audit.Entry{ID: action(i).ID, StreamSeq: uint64(i + 1), Action: []byte(`{"id":"x"}`)})
		require.NoError(b, err)
	}
	return time.Since(began)
}
