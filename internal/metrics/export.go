package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Described names metrics: each with its help, and then its labels if it has any.
type Described map[string][]string

// Export registers the metrics of a module, their names behind prefix, until stop is
// called: an instance that is built again after a failure registers its own. At each
// scrape collect sends the values; scrapes may be concurrent. Without a registerer
// nothing happens.
func Export(reg prometheus.Registerer, prefix string, d Described, collect func(Sink)) (stop func(), err error) {
	if reg == nil {
		return func() {}, nil
	}
	c := &collector{descs: map[string]*prometheus.Desc{}, collect: collect}
	for name, said := range d {
		c.descs[name] = prometheus.NewDesc(prefix+name, said[0], said[1:], nil)
	}
	if err := reg.Register(c); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return func() { reg.Unregister(c) }, nil
}

// Sink takes the values of one scrape.
type Sink struct {
	descs map[string]*prometheus.Desc
	out   chan<- prometheus.Metric
}

// Count sends what only grows, for the values of its labels.
func (s Sink) Count(name string, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.descs[name], prometheus.CounterValue, v, labels...)
}

// Gauge sends what goes up and down, for the values of its labels.
func (s Sink) Gauge(name string, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.descs[name], prometheus.GaugeValue, v, labels...)
}

// collector reads the numbers when they are asked for.
type collector struct {
	descs   map[string]*prometheus.Desc
	collect func(Sink)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.collect(Sink{descs: c.descs, out: out})
}
