package suite

import (
	"context"
	"errors"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/internal/metrics"
)

// serveMetrics opens the HTTP server. That every port is taken is a warning; an address
// of another machine ends the start.
func (a *app) serveMetrics(ctx context.Context) error {
	if !a.cfg.Metrics.Enabled {
		return nil
	}
	server, err := metrics.Listen(ctx, metrics.Options{
		Listen: a.cfg.Metrics.Listen, Gatherer: a.registry, Log: a.log,
		Health: a.supervisor.Health, Ready: a.supervisor.Ready,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		a.log.WithError(err).Warn("metrics are off: no free port")
		return nil
	}
	if err != nil {
		return err
	}
	a.log.WithField("address", server.Addr()).Info("metrics and probes served")
	a.background.once("metrics", func(ctx context.Context) error {
		if err := server.Serve(ctx); err != nil {
			a.log.WithError(err).Error("metrics are off")
		}
		return nil
	})
	return nil
}

// exportBus registers the metrics of the streams, as the monitor last saw them, and of
// the embedded server.
func exportBus(reg prometheus.Registerer, b *connections, monitor *streamMonitor) error {
	_, err := metrics.Export(reg, "ironpost_bus_", metrics.Described{
		"stream_messages":                 {"Messages the stream holds.", "stream"},
		"stream_bytes":                    {"Bytes the stream holds.", "stream"},
		"stream_max_bytes":                {"Bytes the stream may hold.", "stream"},
		"stream_published_total":          {"Messages ever stored in the stream.", "stream"},
		"durable_pending_messages":        {"Messages not yet delivered to the durable.", "stream", "durable"},
		"durable_unacknowledged_messages": {"Messages delivered to the durable and not yet acknowledged.", "stream", "durable"},
		"durable_redelivered_messages":    {"Unacknowledged messages that were delivered more than once.", "stream", "durable"},
		"durable_present":                 {"Whether the durable of the table exists.", "stream", "durable"},
		"server_restarts_total":           {"Restarts of the embedded server in place."},
		"clients":                         {"Connections through a listener.", "listener"},
		"clients_refused_total":           {"Connections a listener refused.", "listener"},
		"slow_consumers_total":            {"Clients dropped because they did not read."},
		"healthy":                         {"Whether the embedded server reports no problem."},
	}, func(sink metrics.Sink) {
		for _, s := range monitor.snapshot() {
			name := string(s.Name)
			sink.Gauge("stream_messages", float64(s.Messages), name)
			sink.Gauge("stream_bytes", float64(s.Bytes), name)
			sink.Gauge("stream_max_bytes", float64(s.MaxBytes), name)
			sink.Count("stream_published_total", float64(s.LastSeq), name)
			for _, d := range s.Durables {
				sink.Gauge("durable_pending_messages", float64(d.Pending), name, d.Name)
				sink.Gauge("durable_unacknowledged_messages", float64(d.AckPending), name, d.Name)
				sink.Gauge("durable_redelivered_messages", float64(d.Redelivered), name, d.Name)
				sink.Bool("durable_present", d.Present, name, d.Name)
			}
		}
		if b.server == nil {
			return
		}
		stats := b.server.Stats()
		sink.Count("server_restarts_total", float64(stats.Restarts))
		sink.Count("slow_consumers_total", float64(stats.SlowConsumers))
		sink.Bool("healthy", len(b.server.Health()) == 0)
		for listener, n := range stats.Clients {
			sink.Gauge("clients", float64(n), listener)
		}
		for listener, n := range stats.Refused {
			sink.Count("clients_refused_total", float64(n), listener)
		}
	})
	return err
}
