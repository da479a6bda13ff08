package suite

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/edge"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/internal/task"
)

// metricsName is the metrics server in health.
const metricsName = "metrics"

// probePatience is how long a probe waits for the modules; then it answers with the health of the last check.
const probePatience = 50 * time.Millisecond

// serveMetrics opens the HTTP server. While its port is taken the program is degraded; an address
// of another machine ends the start.
func (a *app) serveMetrics(ctx context.Context) error {
	if !a.cfg.Metrics.Enabled {
		return nil
	}
	server, err := a.listenMetrics(ctx)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	a.background.repeat(metricsName, func(ctx context.Context) error {
		for server == nil {
			task.Pause(ctx, retryPause)
			if ctx.Err() != nil {
				return nil
			}
			server, _ = a.listenMetrics(ctx) // its error is in health
		}
		err := server.Serve(ctx)
		server = nil
		return err
	})
	return nil
}

// listenMetrics opens the port; that it is taken is a reason in health.
func (a *app) listenMetrics(ctx context.Context) (*metrics.Server, error) {
	address := a.process.Program.metricsListen(a.cfg.Metrics)
	server, err := metrics.Listen(ctx, metrics.Options{
		Listen: address, Hosts: a.cfg.Metrics.Hosts, Gatherer: a.registry, Log: a.log,
		Health: func(ctx context.Context) event.DaemonHealth { return a.supervisor.HealthWithin(ctx, probePatience) }, Ready: a.supervisor.Ready,
	})
	if err != nil {
		reason := "metrics and probes are off: another process listens on " + address
		a.metricsOff.Store(&reason)
		return nil, err
	}
	a.metricsOff.Store(nil)
	a.probes.Store(server)
	a.log.WithField("address", server.Addr()).Info("metrics and probes served")
	return server, nil
}

// exportLog registers the metrics of the log itself.
func exportLog(reg prometheus.Registerer, output *logging.Output) error {
	_, err := metrics.Export(reg, "ironpost_log_", metrics.Described{
		"lines_dropped_total": {"Lines of the log that were dropped because nobody read them or they could not be written."},
	}, func(sink metrics.Sink) { sink.Count("lines_dropped_total", float64(output.Dropped())) })
	return err
}

// exportBus registers the metrics of the streams, as the monitor last saw them, and of
// the embedded server.
func exportBus(reg prometheus.Registerer, b *connections, monitor *streamMonitor, edges *edge.Monitor) error {
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
		"observer_records_skipped_total":  {"Records that were not copied for observers."},
		"healthy":                         {"Whether the embedded server reports no problem."},
		"edge_connected":                  {"Whether the edge answers.", "edge"},
	}, func(sink metrics.Sink) {
		for _, s := range monitor.snapshot() {
			exportStream(sink, s)
		}
		if b.server == nil {
			return
		}
		for host, connected := range edges.Connected() {
			sink.Bool("edge_connected", connected, host)
		}
		stats := b.server.Stats()
		sink.Count("server_restarts_total", float64(stats.Restarts))
		sink.Count("slow_consumers_total", float64(stats.SlowConsumers))
		sink.Count("observer_records_skipped_total", float64(stats.ObserverSkipped))
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

func exportStream(sink metrics.Sink, s bus.StreamState) {
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
