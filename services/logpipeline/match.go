package logpipeline

import (
	"cmp"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/packet"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/series"
	"github.com/ironpost/ironpost/sigma"
)

// maxAhead is how far the time in a line may be ahead of the clock and still be believed: beyond it, one
// line could hold series open for years.
const maxAhead = 5 * time.Minute

// input is one line, or one event of a packet record, as the rules see it.
type input struct {
	parse.Event

	position string    // identifies the line; the same when it is read again
	time     time.Time // when it happened; the line's own time if that is plausible
	began    time.Time // not after time
	received time.Time // what its age is counted from; the text decides it only of lines from before anybody read them
	evidence []string  // nil: the line

	// What the line is counted as.
	from      inputstats.ID
	truncated bool
	backlog   bool   // it was there before anybody read it
	zone      string // of its source, "" if the line names one

	// These are from trusted sources, never from the text of a line. Each may be empty.
	origin     event.Origin
	trust      event.Trust
	entity     string // what its alerts are deduplicated by
	trace      string // W3C trace id of the record
	target     *event.Endpoint
	container  *event.Container
	incomplete []event.Incomplete
	detection  *event.TrafficFinding // nil if it is none
}

// lineInput parses a line, whose origin is not yet set. received is when it was received, the latest it can have been written; it
// supplies a year or a time that the line lacks. of is what is known of its source. It takes the memory of unused, an
// earlier line that no rule matched, or nil.
func lineInput(parser *parse.Parser, unused *input, position string, text []byte, received time.Time, of parse.Input) *input {
	in := unused
	if in == nil {
		in = &input{}
	}
	fields := in.Fields
	*in = input{position: position, received: received}
	in.Fields = fields
	parser.ParseInto(&in.Event, string(text), received, of)
	in.setTime()
	return in
}

// setTime sets when the parsed line was written: what it says, unless that is after it was received.
func (in *input) setTime() {
	in.time = in.Time
	switch {
	case in.time.IsZero():
		in.time = in.received
	case in.time.After(in.received.Add(maxAhead)):
		in.disbelieve()
	}
	in.began = in.time
}

// disbelieve has the receipt be the time of in, and keeps what the line says as the field log_time.
func (in *input) disbelieve() {
	in.time, in.began = in.received, in.received
	in.Fields.Set(logTimeField, sigma.Text(in.Time.UTC().Format(time.RFC3339Nano)))
}

// lines returns what alerts about in have as evidence.
func (in *input) lines() []string {
	if in.evidence == nil {
		return []string{in.Fields.Text("raw")}
	}
	return in.evidence
}

// moreInputs returns what the line of in tells besides, as inputs.
func moreInputs(in *input) []*input {
	var out []*input
	for n, ev := range in.More {
		more := *in
		more.Event, more.evidence = ev, in.lines()
		more.position = fmt.Sprintf("%s#%s.%d", in.position, cmp.Or(ev.Logsource.Category, ev.Logsource.Service), n)
		more.setOrigin(in.origin, in.trust)
		out = append(out, &more)
	}
	return out
}

// containerInput parses a line of a container's log. The container is the one that Docker names; as is what its lines are parsed with.
func containerInput(parser *parse.Parser, unused *input, line docker.Line, of *inputSettings, as parse.Input) *input {
	in := lineInput(parser, unused, line.Position, line.Text, line.Time, as)
	c := line.Container
	in.container = &event.Container{ID: c.ID, Name: c.Name, Image: c.Image}
	origin, trust := containerOrigin(line)
	in.setOrigin(origin, of.trustOf(trust))
	in.Fields.Set("container.id", sigma.Text(c.ID))
	in.Fields.Set("container.name", sigma.Text(c.Name))
	in.Fields.Set("container.image", sigma.Text(c.Image))
	return in
}

// packetInput returns an event of the packet record r.
func packetInput(r *event.Packet, e packet.Event) *input {
	in := &input{
		position: fmt.Sprintf("packet.%s.%d", r.ID, e.Index), entity: e.Entity, trace: r.TraceID,
		time: e.Time, began: e.Began, received: e.Time, evidence: []string{e.Message, e.Raw},
	}
	in.Logsource, in.Fields = e.Logsource, sigma.FieldsOf(e.Fields)
	in.setOrigin(packetOrigin(r))
	in.SourceIP, in.SourcePort = e.Source.Addr(), e.Source.Port()
	if e.Target.Addr().IsValid() {
		in.target = &event.Endpoint{IP: e.Target.Addr().String(), Port: e.Target.Port()}
	}
	if e.Network.IsValid() {
		in.target = &event.Endpoint{IP: e.Network.String(), Port: r.Detection.Target.Port}
	}
	in.detection = r.Detection
	if r.Lost > 0 {
		in.incomplete = []event.Incomplete{{Counter: "packets_lost", Amount: r.Lost}}
	}
	if latest := time.Now().Add(maxAhead); in.time.After(latest) {
		in.time, in.began = latest, latest
	}
	return in
}

// matched is an input and the rules that match it.
type matched struct {
	*input

	event   sigma.Event
	matches []sigma.Match
	found   []series.Match // of rules that are no correlations
}

// endsDetection reports whether the input says that a detection is over.
func (in *input) endsDetection() bool { return in.detection != nil && in.detection.Phase == event.Over }

// match evaluates in by rules, but for correlations. It may be called concurrently.
func match(rules *ruleSet, alerts alertBuilder, in *input) matched {
	got := matched{input: in}
	got.event = sigma.Event{Logsource: in.Logsource, Time: in.time, Ref: in.position, Rank: uint8(in.trust.Rank()), Times: in.Repeated, Fields: in.Fields}
	got.matches = rules.Match(got.event)
	for _, m := range got.matches {
		if !m.Silent {
			got.found = append(got.found, series.Match{Alert: alerts.fromMatch(in, m), Detection: in.detection != nil, Times: in.Repeated})
		}
	}
	return got
}

// matcher holds the rules in use and what their correlations counted. One goroutine uses it.
type matcher struct {
	rules        *ruleSet
	correlations *correlations
	alerts       alertBuilder
}

func newMatcher(rules *ruleSet, alerts alertBuilder) matcher {
	return matcher{rules: rules, correlations: newCorrelations(rules), alerts: alerts}
}

// correlate counts got, which the rules in use matched, and returns its matches that raise an alert or are part of the series of one. A
// match without an alert may still have been counted.
func (m *matcher) correlate(got matched) []series.Match {
	out := got.found
	began, ongoing, joining := m.correlations.observe(got.event, got.matches, got.SourceIP)
	for _, c := range began {
		if !c.Silent {
			out = append(out, series.Match{Alert: m.alerts.fromCorrelation(got.input, c), Quiet: c.Correlation.Timespan, Began: true})
		}
	}
	for _, c := range ongoing {
		out = append(out, series.Match{Alert: m.alerts.fromCorrelation(got.input, c), Quiet: c.Correlation.Timespan, Times: got.Repeated})
	}
	for _, c := range joining {
		out = append(out, series.Match{Alert: m.alerts.fromCorrelation(got.input, c), Quiet: c.Correlation.Timespan, Joins: true, Times: got.Repeated})
	}
	if got.endsDetection() {
		out = append(out, series.Match{Alert: m.alerts.endOf(got.input), Ended: true})
	}
	return out
}

// use replaces the rules. The counts of correlations that did not change are kept; the error says that they
// could not be.
func (m *matcher) use(rules *ruleSet) error {
	fresh := newCorrelations(rules)
	counts, err := m.correlations.Snapshot()
	if err == nil {
		err = fresh.Restore(counts)
	}
	m.rules, m.correlations = rules, fresh
	return err
}
