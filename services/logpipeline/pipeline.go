package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/packet"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/series"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const (
	// maxWait is how long the pipeline waits for input before it checks its deadlines and for a reload.
	maxWait = time.Second
	// firstWait is for the first read, which opens the files: the checkpoint after it records their ends, so
	// that a crash right after the start loses nothing.
	firstWait = 20 * time.Millisecond

	// stopWait bounds a stop, drainWait its last part, which reads what is in the files by then. The rest is
	// read after the next start.
	stopWait   = 5 * time.Second
	drainWait  = time.Second
	drainPause = 50 * time.Millisecond
	lineBatch  = 256 // most lines of one source that are processed together
)

// pipeline is the state of the goroutine that turns input into alerts; no other goroutine uses it.
type pipeline struct {
	s           *Service
	cfg         Config
	sources     *sources
	matcher     matcher
	series      *series.Table
	pub         *bus.Publisher
	resumeAfter uint64         // of the checkpoint that was read
	restored    uint64         // its LastSeq
	taken       batch          // whose alerts are not stored yet
	unsent      []event.Record // its alerts, when a stop interrupted the publishing
	commits     commitState
	crashes     *crashRecord
	rows        *rows     // nil: lines are not stored
	rulesTried  time.Time // when missing rules were last looked for
}

// batch is the input that is processed at once: of one file or syslog sender, one container, and packet records.
type batch struct {
	lines   []tail.Line
	logs    []docker.Line
	packets []*delivery
}

func (b batch) size() int { return len(b.lines) + len(b.logs) + len(b.packets) }

// result is what matching a batch gave.
type result struct {
	matches     []series.Match
	matched     bool // a rule matched, if only to be counted
	deadLines   []deadLine
	deadPackets []*delivery
}

// run processes input until ctx ends.
func (p *pipeline) run(ctx context.Context) error {
	returned := false
	defer p.recordCrash(&returned)
	err := p.loop(ctx)
	returned = true
	return err
}

func (p *pipeline) loop(ctx context.Context) error {
	if err := p.readBackAlerts(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	firstRead := sync.OnceFunc(func() { close(p.sources.firstRead) })
	for wait := firstWait; ctx.Err() == nil; wait = p.nextWait() {
		p.applyReload()
		b := p.nextBatch(ctx, wait)
		firstRead()
		if !p.waitForRules(ctx, b) {
			respond(slices.Concat(p.commits.unacked, b.packets), errNotStored)
			return nil // the last checkpoint is valid: what is not processed is read again
		}
		if err := p.processBatch(ctx, b); err != nil {
			return err
		}
	}
	p.stop(ctx)
	return nil
}

// unlessEnded returns err, or nil if ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// readBackAlerts reads the alerts whose lines come again: the publisher then leaves them out. It reopens the series of those
// that were stored after the checkpoint.
func (p *pipeline) readBackAlerts(ctx context.Context) error {
	err := p.pub.Resume(ctx, p.resumeAfter, func(stored bus.StoredRecord) error {
		if stored.Sequence <= p.restored {
			return nil
		}
		var a event.Alert
		if err := event.Decode(stored.Data, &a); err != nil {
			p.s.log.WithError(err).WithField("stream_seq", stored.Sequence).Warn("stored alert unreadable, its series is not reopened")
			return nil
		}
		p.series.Seen(&a, time.Now())
		return nil
	})
	if err != nil {
		return fmt.Errorf("read back alerts: %w", err)
	}
	if lost := p.pub.Stats().Lost; lost > 0 {
		p.s.log.WithField("sequences", lost).Error("stored alerts are gone")
		p.s.reasons.Set(topicStream, fmt.Sprintf("alerts that were stored are gone: the stream %s ends %d sequences before the last one; the files of the bus were damaged or replaced", bus.Alerts, lost))
	}
	return nil
}

// nextWait returns how long the pipeline may wait for input: until a series or the time for a checkpoint ends.
func (p *pipeline) nextWait() time.Duration {
	wait := maxWait
	if next := p.series.Next(); !next.IsZero() {
		wait = min(wait, time.Until(next))
	}
	if p.commits.dirty {
		wait = min(wait, time.Until(p.commits.written.Add(p.cfg.checkpointInterval())))
	}
	return max(wait, time.Millisecond)
}

// nextBatch waits at most for wait until a source has input, and returns some of the next sources in turn.
func (p *pipeline) nextBatch(ctx context.Context, wait time.Duration) batch {
	ctx, done := p.sources.waker.wait(ctx, wait)
	lines, _ := p.sources.tailer.Next(ctx, lineBatch) // its only error is that ctx ended
	done()
	p.taken = batch{lines: lines, logs: p.sources.docker.Next(lineBatch), packets: p.sources.packets.take()}
	if p.taken.size() > 0 {
		p.s.batches.Add(1)
	}
	return p.taken
}

// batchDone is called when the alerts of the batch taken last are stored.
func (p *pipeline) batchDone() {
	if len(p.taken.lines) > 0 {
		p.sources.tailer.Done(p.taken.lines[0].Path)
	}
	if len(p.taken.logs) > 0 {
		p.sources.docker.Done(p.taken.logs[0].Container.ID)
	}
	p.taken = batch{}
}

// processBatch matches b, publishes what its matches are for their series, and then writes a checkpoint and
// acknowledges packet records as far as that is due. When ctx ends before the alerts are stored they are
// left in p.unsent, and the error is nil.
func (p *pipeline) processBatch(ctx context.Context, b batch) error {
	r := p.matchBatch(b)
	var out []*event.Alert
	for _, m := range r.matches {
		p.pub.Offered(m.Alert.ID) // its series may be open since the alerts were read back
		out = append(out, p.series.Add(m, time.Now())...)
	}
	out = append(out, p.series.Expire(time.Now())...)
	p.s.setStats(p.series.Stats(), p.matcher.correlations.stats())
	c := &p.commits
	c.dirty = c.dirty || b.size() > 0 || len(out) > 0
	c.unacked = append(c.unacked, b.packets...)
	c.checkpointNeeded = c.checkpointNeeded || r.matched && len(b.packets) > 0

	p.deadLetter(ctx, r)
	records := make([]event.Record, len(out))
	for i, a := range out {
		records[i] = a
	}
	if err := p.publish(ctx, records); err != nil {
		p.unsent = records
		return unlessEnded(ctx, err)
	}
	p.batchDone()
	p.commit()
	return nil
}

// matchBatch evaluates everything in b, in order. It skips packet records that were processed before, and
// what made the pipeline panic repeatedly.
func (p *pipeline) matchBatch(b batch) (r result) {
	evaluate := func(in input) {
		matches, matched := p.matcher.evaluate(in)
		r.matches, r.matched = append(r.matches, matches...), r.matched || matched
	}
	p.matchPackets(b.packets, evaluate, &r)
	for _, line := range b.logs {
		if !p.crashes.begin(line.Position) {
			r.deadLines = append(r.deadLines, deadLine{line.Position, line.Text})
			continue
		}
		in := containerInput(p.matcher.parser, line)
		p.s.countLine(line.Text, in.Format)
		evaluate(in)
		p.rows.add(in, "container:"+line.Container.Name, time.Now())
	}
	for _, line := range b.lines {
		if !p.crashes.begin(line.Position) {
			r.deadLines = append(r.deadLines, deadLine{line.Position, line.Text})
			continue
		}
		text, received, source := line.Text, time.Now(), "file:"+line.Path
		origin, trust := fileOrigin(line)
		if p.sources.syslog.IsSpoolFile(line.Path) {
			rec, err := syslog.DecodeRecord(line.Text)
			if err != nil {
				p.s.spoolErrors.Add(1)
				p.s.log.WithError(err).WithField("position", line.Position).Warn("spool record unreadable")
				continue
			}
			text, received, source = rec.Message, rec.Time, SourceSyslog
			origin, trust = syslogOrigin(rec)
		}
		in := lineInput(p.matcher.parser, line.Position, text, received)
		in.setOrigin(origin, trust)
		p.s.countLine(text, in.Format)
		evaluate(in)
		p.rows.add(in, source, received)
	}
	p.crashes.current = ""
	return r
}

// matchPackets is the part of matchBatch for packet records. evaluate adds to r.
func (p *pipeline) matchPackets(packets []*delivery, evaluate func(input), r *result) {
	for _, d := range packets {
		switch {
		case p.commits.processed.contains(d.Sequence, d.StoredAt):
			p.s.packetsAgain.Add(1)
		case !p.crashes.begin("packet." + d.record.ID):
			r.deadPackets = append(r.deadPackets, d)
		default:
			for _, e := range packet.Events(d.record, p.matcher.rules.wants) {
				evaluate(packetInput(d.record, e))
			}
			p.commits.processed.add(d.Sequence, d.StoredAt)
			p.s.packets.Add(1)
		}
	}
}

// publish returns when the alerts are stored. One that the publisher refuses, because it is no valid record,
// could never be stored: it is counted, logged and dropped.
func (p *pipeline) publish(ctx context.Context, records []event.Record) error {
	if len(records) == 0 {
		return nil
	}
	err := p.pub.Publish(ctx, records...)
	if err != nil && !errors.Is(err, bus.ErrInvalid) {
		return err
	}
	for _, rec := range records {
		a, ok := rec.(*event.Alert)
		if !ok {
			continue
		}
		if err != nil { // at least one of them was refused
			if _, refused := event.Encode(a); refused != nil {
				p.s.refused.Add(1)
				p.s.log.WithError(refused).WithField("alert_id", a.ID).WithField("rule_id", event.Shorten(a.Rule.ID, maxKey)).Error("alert refused")
				continue
			}
		}
		p.s.countAlert(a)
	}
	return nil
}

// stop processes what arrived before the sources were closed, within a bound. Open series stay open in the
// checkpoint. If not all alerts can be stored, the last checkpoint stays: lines are then read again, and
// packet records delivered again.
func (p *pipeline) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	err := p.publish(ctx, p.unsent)
	if err == nil {
		p.unsent = nil
		p.batchDone()
		err = p.drain(ctx)
	}
	if err != nil {
		p.s.log.WithError(err).Warn("stopped before all alerts were stored, their lines are read again")
	} else {
		p.writeCheckpoint()
		p.commit()
	}
	respond(p.commits.unacked, errNotStored)
	respond(p.sources.packets.take(), errNotStored)
}

// drain processes input until the sources have ended, and then for at most drainWait what they left.
func (p *pipeline) drain(ctx context.Context) error {
	if p.matcher.rules.missing {
		return nil
	}
	var until time.Time // zero until the sources have ended
	for ctx.Err() == nil && (until.IsZero() || time.Now().Before(until)) {
		if until.IsZero() && p.sources.ended() {
			until = time.Now().Add(drainWait)
		}
		b := p.nextBatch(ctx, drainPause)
		if err := p.processBatch(ctx, b); err != nil {
			return err
		}
		if p.unsent != nil {
			return context.Cause(ctx)
		}
		if b.size() == 0 && !until.IsZero() {
			return nil
		}
	}
	return nil
}

// countLine counts a processed line.
func (c *counters) countLine(text []byte, format parse.Format) {
	c.lines.Add(1)
	c.bytes.Add(uint64(len(text)))
	if format == parse.Plain && len(text) > 0 {
		c.unparsed.Add(1)
	}
}

// countAlert counts and logs an alert that was stored.
func (s *Service) countAlert(a *event.Alert) {
	log := s.log.WithField("alert_id", a.ID).WithField("rule_id", a.Rule.ID).
		WithField("severity", a.Severity.String()).WithField("title", a.Title)
	if a.Source != nil {
		log = log.WithField("src_ip", a.Source.IP)
	}
	if a.User != "" {
		log = log.WithField("user", a.User)
	}
	if a.Update {
		s.updates.Add(1)
		log.WithField("series", a.Series).WithField("revision", a.Revision).WithField("state", a.State).WithField("count", a.Count).Info("alert revised")
		return
	}
	s.alerts.Add(1)
	log.Info("alert raised")
}
