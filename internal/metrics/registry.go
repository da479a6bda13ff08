// Package metrics collects the metrics of the process and of its modules, and serves
// them with the probes /healthz and /readyz over HTTP. A module registers its metrics with
// Export. The registry is not Prometheus' global one, so no library registers in it.
package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// Build names the program that runs.
type Build struct{ Version, Revision, GoVersion string }

// Registry collects the metrics of the process and of its modules. A module that is
// restarted registers again, so each instance has a registry of its own that replaces the
// previous one. It is safe for concurrent use.
type Registry struct {
	process *prometheus.Registry

	mu      sync.Mutex
	modules map[string]*prometheus.Registry
}

// NewRegistry returns a registry with the metrics of the Go runtime, the process
// and the build.
func NewRegistry(build Build) *Registry {
	r := &Registry{process: prometheus.NewRegistry(), modules: map[string]*prometheus.Registry{}}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ironpost_build_info", Help: "Always 1; the labels name the build.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "goversion": build.GoVersion},
	})
	info.Set(1)
	r.process.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Process returns the registry for the metrics of the process itself.
func (r *Registry) Process() prometheus.Registerer { return r.process }

// Use replaces the metrics of module by those in reg, in which a new instance has
// registered.
func (r *Registry) Use(module string, reg *prometheus.Registry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.modules[module] = reg
}

// Gather implements prometheus.Gatherer.
func (r *Registry) Gather() ([]*dto.MetricFamily, error) { return r.gatherers().Gather() }

func (r *Registry) gatherers() prometheus.Gatherers {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := prometheus.Gatherers{r.process}
	for _, reg := range r.modules {
		all = append(all, reg)
	}
	return all
}
