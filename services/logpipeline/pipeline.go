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
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

const (
	// maxWait is how long the pipeline waits for input before it checks its deadlines and for a reload.
	maxWait = time.Second
	// maxTake is how long the pipeline goes on taking chunks before it decodes those it has.
	maxTake = 50 * time.Millisecond
	// firstWait is for the first read, which opens the files: the checkpoint after it records their ends, so
	// that a crash right after the start loses nothing.
	firstWait = 20 * time.Millisecond

	// stopWait bounds a stop, drainWait its last part, which reads what is in the files by then. The rest is
	// read after the next start.
	stopWait   = 5 * time.Second
	drainWait  = time.Second
	drainPause = 50 * time.Millisecond
	chunkLines = 1024 // most lines of a chunk
	// maxInFlight bounds the chunks that are taken from their sources and not sequenced. Besides, each kind of source may add one.
	maxInFlight = 16
	maxTaken    = maxInFlight + 4
	// groupAlerts is how many alerts are enough to publish before further chunks are sequenced.
	groupAlerts = 64
	// alertLines is most lines of a chunk after a group had so many: storing alerts takes longer than the rest.
	alertLines = 128
)

// pipeline is the state of the goroutine that takes chunks from the sources, in turn, gives them to the workers, and sequences what they
// have decoded: it counts correlations and series, publishes and commits. No other goroutine uses it. Of each source at most one
// chunk is in flight, so a source that floods waits for its own chunk.
type pipeline struct {
	s           *Service
	cfg         Config
	inputs      *inputs // of cfg
	sources     *sources
	decoder     *decoder
	matcher     matcher
	series      *series.Table
	joining     joining
	pub         *bus.Publisher
	resumeAfter uint64 // of the checkpoint that was read
	restored    uint64 // its LastSeq
	inFlight    int    // chunks that the workers have
	sequencing  string // position of the input being sequenced, "" for none
	group       group
	chunkLines  int // most lines of a chunk for now
	commits     commitState
	crashes     *crashRecord
	rows        *rows     // nil: lines are not stored
	rulesTried  time.Time // when missing rules were last looked for
}

// group is chunks that are sequenced, whose alerts are not stored yet.
type group struct {
	chunks  []*chunk
	alerts  []event.Record
	dead    []decoded
	packets []*delivery
	matched bool // a rule matched, if only to be counted
}

// run processes input until ctx ends.
func (p *pipeline) run(ctx context.Context) error {
	returned := false
	defer func() {
		if !returned && p.sequencing != "" { // it panics
			p.s.recordCrash(p.crashes, p.sequencing, nil)
		}
	}()
	defer close(p.decoder.work)
	defer close(p.commits.toSave)
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
		p.chooseInputs()
		chunks := p.take(ctx, wait)
		firstRead()
		if !p.waitForRules(ctx, chunks) {
			for _, c := range chunks {
				respond(c.packets, errNotStored)
			}
			return nil // the last checkpoint is valid: what is not processed is read again
		}
		p.decode(chunks)
		if err := p.sequence(ctx); err != nil {
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
	if p.commits.dirty && p.commits.saving == nil {
		wait = min(wait, time.Until(p.commits.written.Add(p.cfg.checkpointInterval())))
	}
	return max(wait, time.Millisecond)
}

// take waits at most for wait until a source has input or a worker is done, and returns the next chunks, in turn of each kind of source:
// of files and syslog senders, of containers, of the journal, of the kernel, and packet records. It takes none while too many are in flight, or while a reload waits
// for those in flight. What was read does not wait longer than maxTake for the rest.
func (p *pipeline) take(ctx context.Context, wait time.Duration) (chunks []*chunk) {
	ctx, done := p.sources.waker.wait(ctx, wait)
	if p.inFlight >= maxInFlight || p.inFlight > 0 && p.s.pendingReload.Load() != nil {
		<-ctx.Done()
		done()
		return nil
	}
	lines, _ := p.sources.tailer.Next(ctx, p.chunkLines) // its only error is that ctx ended
	done()
	began := time.Now()
	for before := -1; before < len(chunks) && p.inFlight+len(chunks) < maxInFlight && time.Since(began) < maxTake; {
		if before >= 0 {
			lines, _ = p.sources.tailer.Next(ctx, p.chunkLines) // ctx has ended: it does not wait
		}
		before = len(chunks)
		for _, c := range []*chunk{{lines: lines}, {logs: p.sources.docker.Next(p.chunkLines)}, {entries: p.sources.journal.Next(p.chunkLines)}, {records: p.sources.kernel.Next(p.chunkLines)}, {packets: p.sources.packets.take()}} {
			if c.size() > 0 {
				c.source, c.read = p.sources.nameOf(c), time.Now()
				chunks = append(chunks, c)
			}
		}
	}
	p.s.batches.Add(uint64(len(chunks)))
	return chunks
}

// decode gives chunks to the workers, and chunks for the audit events that have waited long enough while no source has more.
func (p *pipeline) decode(chunks []*chunk) {
	for _, c := range chunks {
		p.joining.begin(c)
	}
	if free := maxInFlight - p.inFlight - len(chunks); free > 0 {
		for _, c := range p.joining.waiting(time.Now(), free) {
			p.joining.begin(c)
			chunks = append(chunks, c)
		}
	}
	for _, c := range chunks {
		c.rules, c.inputs = p.matcher.rules, p.inputs
		p.inFlight++
		p.decoder.work <- c // it has room for all in flight
	}
}

// sequence takes what the workers have decoded, counts it, publishes what its matches are for their series, and then writes a checkpoint and
// acknowledges packet records as far as that is due. When ctx ends before the alerts are stored they are
// left in p.group, and the error is nil.
func (p *pipeline) sequence(ctx context.Context) error {
	for more := true; more && len(p.group.alerts) < groupAlerts; {
		select {
		case c := <-p.decoder.done:
			p.inFlight--
			p.add(c)
		default:
			more = false
		}
	}
	p.sequencing = ""
	p.addAlerts(p.series.Expire(time.Now()))
	p.s.setStats(p.series.Stats(), p.matcher.correlations.stats())
	return unlessEnded(ctx, p.finishGroup(ctx))
}

// finishGroup publishes the alerts of p.group; then its chunks are done.
func (p *pipeline) finishGroup(ctx context.Context) error {
	g, c := &p.group, &p.commits
	p.deadLetter(ctx, g.dead)
	g.dead = nil
	if err := p.publish(ctx, g.alerts); err != nil {
		return err
	}
	c.dirty = c.dirty || len(g.chunks) > 0 || len(g.alerts) > 0
	c.unacked = append(c.unacked, g.packets...)
	c.checkpointNeeded = c.checkpointNeeded || g.matched && len(g.packets) > 0
	for _, c := range g.chunks {
		p.sources.done(c)
		p.joining.done(c)
	}
	switch full := slices.ContainsFunc(g.chunks, func(c *chunk) bool { return c.size() >= alertLines }); {
	case len(g.alerts) >= groupAlerts:
		p.chunkLines = alertLines
	case full: // of lines that are no alerts
		p.chunkLines = chunkLines
	}
	p.group = group{}
	p.commit()
	return nil
}

// add counts what a worker decoded. It skips packet records that were processed before.
func (p *pipeline) add(c *chunk) {
	g := &p.group
	g.chunks = append(g.chunks, c)
	g.packets = append(g.packets, c.packets...)
	for _, b := range c.brought {
		p.s.inputStats.Add(b, time.Now())
	}
	for _, d := range c.results {
		p.sequencing = d.position
		switch {
		case d.dead:
			g.dead = append(g.dead, d)
			continue
		case d.delivery != nil && p.commits.processed.contains(d.delivery.Sequence, d.delivery.StoredAt):
			p.s.packetsAgain.Add(1)
			continue
		}
		for _, got := range d.events {
			g.matched = true
			for _, m := range p.matcher.correlate(got) {
				p.pub.Offered(m.Alert.ID) // its series may be open since the alerts were read back
				p.addAlerts(p.series.Add(m, time.Now()))
			}
		}
		if d.delivery != nil {
			p.commits.processed.add(d.delivery.Sequence, d.delivery.StoredAt)
			p.s.packets.Add(1)
		}
		p.rows.add(d.row)
	}
}

func (p *pipeline) addAlerts(alerts []*event.Alert) {
	for _, a := range alerts {
		p.addLosses(a)
		p.group.alerts = append(p.group.alerts, a)
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
	err := p.finishGroup(ctx)
	if err == nil {
		err = p.drain(ctx)
	}
	p.waitCheckpoint()
	if err != nil {
		p.s.log.WithError(err).Warn("stopped before all alerts were stored, their lines are read again")
	} else {
		p.beginCheckpoint()
		p.waitCheckpoint()
		p.commit()
	}
	respond(slices.Concat(p.commits.unacked, p.group.packets), errNotStored)
	respond(p.sources.packets.take(), errNotStored)
}

// drain processes input until the sources have ended, and then for at most drainWait what they left.
func (p *pipeline) drain(ctx context.Context) error {
	if p.matcher.rules.missing {
		return nil
	}
	var until time.Time // zero until the sources have ended
	for until.IsZero() || time.Now().Before(until) {
		if until.IsZero() && p.sources.ended() {
			until = time.Now().Add(drainWait)
		}
		chunks := p.take(ctx, drainPause)
		p.decode(chunks)
		if err := p.sequence(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(chunks) == 0 && p.inFlight == 0 && !until.IsZero() {
			return nil
		}
	}
	return nil
}

// lineCounts count decoded lines.
type lineCounts struct{ lines, bytes, unparsed uint64 }

// countLines adds those of a chunk.
func (c *counters) countLines(n lineCounts) {
	c.lines.Add(n.lines)
	c.bytes.Add(n.bytes)
	c.unparsed.Add(n.unparsed)
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
	s.tally.Add(a)
	log.Info("alert raised")
}
