package metrics

import (
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Described names metrics: each with its help text, then its label names if it has any.
type Described map[string][]string

// Export registers the metrics of a module, their names behind prefix, until stop is
// called: an instance that is built again after a failure registers its own. At each
// scrape collect sends the values; scrapes may be concurrent. The histograms, which the
// caller observes itself, are registered and removed with the rest. With a nil reg
// nothing is registered.
func Export(reg prometheus.Registerer, prefix string, d Described, collect func(Sink), histograms ...prometheus.Histogram) (stop func(), err error) {
	if reg == nil {
		return func() {}, nil
	}
	c := &collector{descs: map[string]*prometheus.Desc{}, collect: collect, histograms: histograms}
	for name, helpAndLabels := range d {
		c.descs[name] = prometheus.NewDesc(prefix+name, helpAndLabels[0], helpAndLabels[1:], nil)
	}
	if err := reg.Register(c); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return func() { reg.Unregister(c) }, nil
}

// Sink takes the values of one scrape. Each name must be one of Described.
type Sink struct {
	descs map[string]*prometheus.Desc
	out   chan<- prometheus.Metric
}

// Count sends the value of a counter for the values of its labels.
func (s Sink) Count(name string, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.descs[name], prometheus.CounterValue, v, labels...)
}

// Gauge sends the value of a gauge for the values of its labels.
func (s Sink) Gauge(name string, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.descs[name], prometheus.GaugeValue, v, labels...)
}

// Bool is Gauge for a condition: 1 if v, else 0.
func (s Sink) Bool(name string, v bool, labels ...string) {
	value := 0.0
	if v {
		value = 1
	}
	s.Gauge(name, value, labels...)
}

// collector reads the values when Prometheus scrapes.
type collector struct {
	descs      map[string]*prometheus.Desc
	collect    func(Sink)
	histograms []prometheus.Histogram
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, name := range slices.Sorted(maps.Keys(c.descs)) {
		out <- c.descs[name]
	}
	for _, h := range c.histograms {
		h.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.collect(Sink{descs: c.descs, out: out})
	for _, h := range c.histograms {
		h.Collect(out)
	}
}
