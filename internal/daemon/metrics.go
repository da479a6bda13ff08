package daemon

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/internal/metrics"
)

// Export registers the metrics of the supervisor with reg: status, restarts and
// reloads. A scrape checks the health.
func (s *Supervisor) Export(reg prometheus.Registerer) error {
	_, err := metrics.Export(reg, "ironpost_daemon_", metrics.Described{
		"module_status":          {"Status of the module: 0 healthy, 1 degraded, 2 unhealthy.", "module"},
		"module_enabled":         {"Whether the module is enabled in the configuration.", "module"},
		"module_restarts_total":  {"Restarts of the module after a failure.", "module"},
		"reloads_total":          {"Reloads of the configuration by result.", "result"},
		"last_reload_successful": {"Whether the last reload was done, not refused; 1 before the first one."},
		"ready":                  {"Whether every module was started and the stop has not begun."},
	}, s.collect)
	return err
}

func (s *Supervisor) collect(sink metrics.Sink) {
	for _, m := range s.Health(context.Background()).Modules {
		sink.Gauge("module_status", float64(m.Status), m.Name)
		sink.Bool("module_enabled", m.Enabled, m.Name)
		var restarts uint64
		if r := s.runners[m.Name]; r != nil {
			restarts = r.snapshot().restarts
		}
		sink.Count("module_restarts_total", float64(restarts), m.Name)
	}
	sink.Count("reloads_total", float64(s.reloads.done.Load()), "done")
	sink.Count("reloads_total", float64(s.reloads.refused.Load()), "refused")
	sink.Bool("last_reload_successful", s.RefusedReload() == "")
	sink.Bool("ready", s.Ready())
}
