package daemon

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/event"
)

// collector exposes the supervisor to Prometheus.
type collector struct {
	s *Supervisor

	status, enabled, restarts, reloads, ready *prometheus.Desc
}

// Collector returns the metrics of the supervisor: the status of each module
// (0 healthy, 1 degraded, 2 unhealthy), its restarts, and the reloads. A scrape
// checks the health.
func (s *Supervisor) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ironpost_daemon_"+name, help, labels, nil)
	}
	return &collector{
		s:        s,
		status:   desc("module_status", "Status of the module: 0 healthy, 1 degraded, 2 unhealthy.", "module"),
		enabled:  desc("module_enabled", "Whether the module is enabled in the configuration.", "module"),
		restarts: desc("module_restarts_total", "Restarts of the module after a failure.", "module"),
		reloads:  desc("reloads_total", "Reloads of the configuration by result.", "result"),
		ready:    desc("ready", "Whether every module was started and the stop has not begun."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.status, c.enabled, c.restarts, c.reloads, c.ready} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, m := range c.s.Health(context.Background()).Modules {
		gauge(c.status, float64(m.Status), m.Name)
		gauge(c.enabled, number(m.Enabled), m.Name)
		count(c.restarts, c.restartsOf(m), m.Name)
	}
	count(c.reloads, c.s.reloads.done.Load(), "done")
	count(c.reloads, c.s.reloads.refused.Load(), "refused")
	gauge(c.ready, number(c.s.Ready()))
}

func (c *collector) restartsOf(m event.ModuleHealth) uint64 {
	if r := c.s.runners[m.Name]; r != nil {
		return r.snapshot().restarts
	}
	return 0
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
