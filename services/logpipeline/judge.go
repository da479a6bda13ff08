package logpipeline

import (
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

// maxAhead is how far a line's own clock may be ahead of ours and still be
// believed: beyond it, one line could hold windows open for years.
const maxAhead = 5 * time.Minute

// seen is one line, or one thing the engine saw, read and parsed.
type seen struct {
	parse.Event

	position string
	raw      string
	time     time.Time // when it happened, as far as we believe it
	began    time.Time // not after time

	// What no text can claim; each may be empty.
	entity     string // who it is about
	trace      string // W3C trace id it already has
	evidence   []string
	target     *event.Endpoint
	container  *event.Container
	incomplete []event.Incomplete
}

// judge returns the alerts that line gives rise to, before deduplication.
func (p *pipeline) judge(line tail.Line) []*event.Alert {
	if !p.try(line.Position) {
		p.letters = append(p.letters, letter{line.Position, line.Text})
		return nil
	}
	text, received, ok := p.unwrap(line)
	if !ok {
		return nil
	}
	in := see(p.parser, line.Position, text, received)
	p.s.counted(len(text), in.Format == parse.Plain && len(text) > 0)
	return p.conclude(in)
}

// judgeLog is judge for a line a container wrote.
func (p *pipeline) judgeLog(line docker.Line) []*event.Alert {
	if !p.try(line.Position) {
		p.letters = append(p.letters, letter{line.Position, line.Text})
		return nil
	}
	in := see(p.parser, line.Position, line.Text, line.Time)
	p.s.counted(len(line.Text), in.Format == parse.Plain && len(line.Text) > 0)
	c := line.Container
	in.container = &event.Container{ID: c.ID, Name: c.Name, Image: c.Image}
	in.Fields["container.id"], in.Fields["container.name"], in.Fields["container.image"] = c.ID, c.Name, c.Image
	return p.conclude(in)
}

// conclude returns what the rules say about in.
func (p *pipeline) conclude(in seen) []*event.Alert {
	ev := sigma.Event{Logsource: in.Logsource, Time: in.time, Ref: in.position, Fields: in.Fields}
	matches := p.book.set.Match(ev)
	if len(matches) == 0 {
		return nil
	}
	p.matched = true
	var out []*event.Alert
	for _, m := range matches {
		if !m.Silent {
			out = append(out, p.author.ofMatch(in, m))
		}
	}
	for _, m := range p.correlator.Observe(ev, matches) {
		if !m.Silent {
			out = append(out, p.author.ofCorrelation(in, m))
		}
	}
	return out
}

// unwrap takes a received message out of its spool record.
func (p *pipeline) unwrap(line tail.Line) (text []byte, received time.Time, ok bool) {
	if !p.server.IsSpoolFile(line.Path) {
		return line.Text, time.Now(), true
	}
	rec, err := syslog.DecodeRecord(line.Text)
	if err != nil {
		p.s.spoolErrors.Add(1)
		p.s.log.WithError(err).WithField("position", line.Position).Warn("spool record unreadable")
		return nil, time.Time{}, false
	}
	return rec.Message, rec.Time, true
}

func see(parser *parse.Parser, position string, text []byte, received time.Time) seen {
	in := seen{Event: parser.Parse(text, received), position: position}
	in.raw, _ = in.Fields["raw"].(string)
	in.time = in.Time
	if in.time.IsZero() || in.time.After(received.Add(maxAhead)) {
		in.time = received
	}
	in.began, in.evidence = in.time, []string{in.raw}
	return in
}
