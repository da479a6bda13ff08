package logpipeline

import (
	"time"

	"github.com/ironpost/ironpost/event"
)

// addLosses names on a what was lost of the input of its newest line since the last alert from there, as far as its rule looks back: its
// evidence may have gaps. What one alert names no other one does.
func (p *pipeline) addLosses(a *event.Alert) {
	id, ok := p.s.inputOf(a)
	if !ok {
		return
	}
	looksBack := max(p.matcher.rules.timespan(a.Rule.ID), p.cfg.DedupWindow())
	lost := p.s.inputStats.Take(id, a.ReceivedAt().Add(-looksBack))
	a.Incomplete = append(a.Incomplete[:len(a.Incomplete):len(a.Incomplete)], lost...) // the series may show the list again
}

// timespan returns how far the correlation key looks back, 0 of a rule about single events.
func (r *ruleSet) timespan(key string) time.Duration {
	for _, c := range r.Correlations() {
		if c.Key() == key {
			return c.Timespan
		}
	}
	return 0
}
