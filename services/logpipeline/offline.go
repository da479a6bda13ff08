package logpipeline

import (
	"errors"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/dedup"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// Offline judges lines as the pipeline does, without bus and sources. One goroutine may use it.
type Offline struct {
	pipeline pipeline
	windows  *dedup.Table
}

// NewOffline reads the rules of cfg (its RulesPath and DedupWindowSecs count) and judges in the name of host. What is wrong
// with single rule files is in faults; the others are used.
func NewOffline(cfg Config, host string) (o *Offline, faults error, err error) {
	book, err := loadRules(cfg.RulesPath)
	if err != nil {
		return nil, nil, err
	}
	return &Offline{
		pipeline: pipeline{
			book: book, parser: parse.New(parse.Options{}), author: author{host: host, machine: host}, correlator: book.set.NewCorrelator(),
		},
		windows: dedup.New(cfg.DedupWindow(), 0),
	}, errors.Join(book.faults...), nil
}

// Line returns the alerts that a line gives rise to. position tells it from all other lines; received, the latest it can have been
// written, supplies a year or a time that it does not say.
func (o *Offline) Line(position string, text []byte, received time.Time) []*event.Alert {
	var out []*event.Alert
	for _, a := range o.pipeline.conclude(see(o.pipeline.parser, position, text, received)) {
		out = append(out, o.windows.Add(a, a.FirstSeen)...)
	}
	return dated(out)
}

// Close returns the counts of what is still open.
func (o *Offline) Close() []*event.Alert {
	const forever = 1 << 62 // nanoseconds since 1970
	return dated(o.windows.Expire(time.Unix(0, forever)))
}

// dated gives alerts the time of their lines: what is found does not depend on when somebody looked.
func dated(alerts []*event.Alert) []*event.Alert {
	for _, a := range alerts {
		a.Time = a.LastSeen.UTC()
	}
	return alerts
}
