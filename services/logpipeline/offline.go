package logpipeline

import (
	"errors"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

// Offline matches lines as the pipeline does, without bus and sources. One goroutine may use it.
type Offline struct {
	parser  *parse.Parser
	inputs  *inputs
	of      *inputSettings // of the file that is read
	counts  inputstats.Counts
	matcher matcher
	series  *series.Table
	service Service // its counters alone are used
	joiner  audit.Joiner
}

// NewOffline loads the rules of cfg, of which only RulesPath, ShippedRules, FormatsPath, DedupWindowSecs and the settings for all inputs are used; host is the host of
// the alerts. problems names files of rules and formats that are invalid; the others are used.
func NewOffline(cfg Config, host string) (o *Offline, problems error, err error) {
	rules, err := loadRules(cfg)
	if err != nil {
		return nil, nil, err
	}
	formats, err := loadFormats(cfg)
	if err != nil {
		return nil, nil, err
	}
	all := newInputs(cfg, formats.Set)
	return &Offline{
		parser:  parse.New(parse.Options{}),
		inputs:  all,
		of:      &all.other,
		matcher: newMatcher(rules, alertBuilder{host: host, machine: host}),
		series:  series.New(cfg.DedupWindow(), 0),
	}, errors.Join(append(rules.problems, formats.problems.Err())...), nil
}

// Override puts what is set of by in the place of the settings of cfg for every input.
func (o *Offline) Override(cfg Config, by Input) { o.inputs.override(cfg, by) }

// File says that the lines that follow are of the file path, whose settings hold.
func (o *Offline) File(path string) { o.of = o.inputs.ofFile(path) }

// Counts returns what the lines so far were.
func (o *Offline) Counts() inputstats.Counts { return o.counts }

// Line returns the alerts of a line. position identifies the line; received, the latest it can have been
// written, supplies a year or a time that the line lacks.
func (o *Offline) Line(position string, text []byte, received time.Time) []*event.Alert {
	in := lineInput(o.parser, nil, position, text, received, o.of.parse)
	in.setOrigin(event.Origin{Transport: event.TransportFile}, event.TrustUnproven)
	o.counts.Line(string(in.Format), isPlain(text, in.Format), len(text))
	addContext(&o.joiner, in)
	return o.alertsOf(append([]*input{in}, o.service.furtherEvents(&o.joiner, in)...))
}

// alertsOf returns the alerts of inputs.
func (o *Offline) alertsOf(inputs []*input) []*event.Alert {
	var out []*event.Alert
	for _, in := range inputs {
		for _, m := range o.matcher.correlate(match(o.matcher.rules, o.matcher.alerts, in)) {
			out = append(out, o.series.Add(m, m.Alert.LastSeen)...)
		}
	}
	return withLineTime(out)
}

// Close returns the alerts of audit events whose last record did not come, and the last revisions of the series that are not over.
func (o *Offline) Close() []*event.Alert {
	forever := time.Unix(0, 1<<62)
	out := o.alertsOf(o.service.joined(&o.joiner, o.joiner.Expire(forever)))
	return append(out, withLineTime(o.series.Expire(forever))...)
}

// withLineTime sets the time of alerts to that of their lines, so that the result does not depend on when the
// log is read.
func withLineTime(alerts []*event.Alert) []*event.Alert {
	for _, a := range alerts {
		a.Time = a.LastSeen.UTC()
	}
	return alerts
}
