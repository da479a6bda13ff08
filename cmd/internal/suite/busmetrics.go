package suite

import (
	"github.com/prometheus/client_golang/prometheus"
)

// busCollector exposes the streams and the embedded server to Prometheus.
type busCollector struct {
	bus   *busSide
	watch *streamWatch

	messages, bytes, maxBytes, lastSeq             *prometheus.Desc // by stream
	pending, ackPending, redelivered, present      *prometheus.Desc // by stream and durable
	restarts, guests, refused, slow, storeComplain *prometheus.Desc // of the embedded server
}

func newBusCollector(b *busSide, w *streamWatch) *busCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ironpost_bus_"+name, help, labels, nil)
	}
	return &busCollector{
		bus: b, watch: w,
		messages:      desc("stream_messages", "Messages the stream holds.", "stream"),
		bytes:         desc("stream_bytes", "Bytes the stream holds.", "stream"),
		maxBytes:      desc("stream_max_bytes", "Bytes the stream may hold.", "stream"),
		lastSeq:       desc("stream_published_total", "Messages ever stored in the stream.", "stream"),
		pending:       desc("durable_pending_messages", "Messages not yet delivered to the durable.", "stream", "durable"),
		ackPending:    desc("durable_unacknowledged_messages", "Messages delivered to the durable and not yet acknowledged.", "stream", "durable"),
		redelivered:   desc("durable_redelivered_messages", "Unacknowledged messages that were delivered more than once.", "stream", "durable"),
		present:       desc("durable_present", "Whether the durable of the table exists.", "stream", "durable"),
		restarts:      desc("server_restarts_total", "Restarts of the embedded server in place."),
		guests:        desc("guests", "Connections through a listener.", "listener"),
		refused:       desc("guests_refused_total", "Connections a listener refused.", "listener"),
		slow:          desc("slow_consumers_total", "Clients dropped because they did not read."),
		storeComplain: desc("healthy", "Whether the embedded server has nothing to complain about."),
	}
}

// Describe implements prometheus.Collector.
func (c *busCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.messages, c.bytes, c.maxBytes, c.lastSeq, c.pending, c.ackPending, c.redelivered, c.present,
		c.restarts, c.guests, c.refused, c.slow, c.storeComplain,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. The streams are those of the last look.
func (c *busCollector) Collect(out chan<- prometheus.Metric) {
	c.collectStreams(out)
	if c.bus.server != nil {
		c.collectServer(out)
	}
}

func (c *busCollector) collectStreams(out chan<- prometheus.Metric) {
	for _, s := range c.watch.snapshot() {
		name := string(s.Name)
		gauge(out, c.messages, float64(s.Messages), name)
		gauge(out, c.bytes, float64(s.Bytes), name)
		gauge(out, c.maxBytes, float64(s.MaxBytes), name)
		count(out, c.lastSeq, s.LastSeq, name)
		for _, d := range s.Durables {
			gauge(out, c.pending, float64(d.Pending), name, d.Name)
			gauge(out, c.ackPending, float64(d.AckPending), name, d.Name)
			gauge(out, c.redelivered, float64(d.Redelivered), name, d.Name)
			gauge(out, c.present, number(d.Present), name, d.Name)
		}
	}
}

func (c *busCollector) collectServer(out chan<- prometheus.Metric) {
	stats := c.bus.server.Stats()
	count(out, c.restarts, stats.Restarts)
	count(out, c.slow, stats.SlowConsumers)
	gauge(out, c.storeComplain, number(len(c.bus.server.Health()) == 0))
	for listener, n := range stats.Clients {
		gauge(out, c.guests, float64(n), listener)
	}
	for listener, n := range stats.Refused {
		count(out, c.refused, n, listener)
	}
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(out chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
