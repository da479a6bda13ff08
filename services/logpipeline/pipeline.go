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
	"github.com/ironpost/ironpost/services/logpipeline/dedup"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

const (
	// maxWait is how long the pipeline waits for lines before it looks at its
	// clocks and at a pending reload.
	maxWait = time.Second
	// firstWait is for the first look at the files; what it finds is checkpointed at
	// once, so that a death right after the start loses nothing.
	firstWait = 20 * time.Millisecond
)

// pipeline is the state of Run. Its goroutine alone touches it.
type pipeline struct {
	s     *Service
	cfg   Config
	book  *rulebook
	store checkpointFile

	tailer     *tail.Tailer
	server     *syslog.Server
	received   chan struct{} // closed when nothing is received any more
	packets    *packets
	logs       *docker.Source
	bell       *bell
	looked     chan struct{} // closed when the files have been looked at
	pub        *bus.Publisher
	parser     *parse.Parser
	author     author
	correlator *sigma.Correlator
	windows    *dedup.Table

	handled handled        // deliveries of the packet stream
	lastSeq uint64         // of the checkpoint we began with
	unsent  []event.Record // of a round that a stop cut short
	owed    []*delivery    // judged, not yet acknowledged
	frail   bool           // what some of owed left behind is in no checkpoint yet
	sought  time.Time      // when rules that are absent were looked for
	refused []*delivery    // of this round, put aside
	letters []letter       // of this round, put aside
	poison  *poison
	trying  string    // what is being judged, "" if nothing is
	matched bool      // a rule spoke in this round
	saved   time.Time // when the last checkpoint was written, or failed to be
	failed  bool      // to be written
	dirty   bool      // something happened since
}

func newPipeline(s *Service, store checkpointFile, saved *checkpoint) (*pipeline, error) {
	cfg, book := s.config()
	p := &pipeline{
		s: s, cfg: cfg, book: book, store: store, dirty: true,
		parser:     parse.New(parse.Options{}),
		author:     author{host: s.deps.Host, machine: s.deps.MachineID},
		correlator: book.set.NewCorrelator(),
		windows:    dedup.New(cfg.DedupWindow(), 0),
		bell:       &bell{}, received: make(chan struct{}), looked: make(chan struct{}),
	}
	server, err := syslog.New(s.syslogConfig(cfg), s.log)
	if err != nil {
		return nil, fmt.Errorf("syslog: %w", err)
	}
	p.server = server
	if p.packets, err = newPackets(s.deps, p.bell); err != nil {
		return nil, err
	}
	if err := p.restore(saved, server); err != nil {
		return nil, err
	}
	p.pub, err = s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: Name, Host: s.deps.Host})
	if err != nil {
		return nil, err
	}
	s.opened(p)
	return p, nil
}

// openLogs makes the source of containers' logs, and turns it on if it is wanted.
func (p *pipeline) openLogs(saved *docker.State) (err error) {
	from := p.s.logsConfig(p.cfg, p.bell.ring)
	if !p.cfg.Docker() {
		saved = nil
	}
	if p.logs, err = docker.New(from, saved, p.s.log); err != nil && saved != nil {
		p.s.log.WithError(err).Error("places in containers' logs dropped")
		p.s.note(troubleCheckpoint, "places in containers' logs could not be used, they are read from now on: "+err.Error())
		p.logs, err = docker.New(from, nil, p.s.log)
	}
	if err == nil {
		p.logs.Switch(p.cfg.Docker())
	}
	return err
}

// restore takes up a checkpoint. A part of it that cannot be used is dropped,
// loudly: to go on with less is better than not to watch.
func (p *pipeline) restore(saved *checkpoint, server *syslog.Server) (err error) {
	from := tailConfig(p.cfg, server.SpoolPattern(), p.s.deps.DataDir)
	if saved == nil {
		p.tailer, err = tail.New(from, nil, p.s.log)
		return errors.Join(err, p.openLogs(nil))
	}
	if err := p.openLogs(saved.Docker); err != nil {
		return err
	}
	p.lastSeq = saved.LastSeq
	p.handled = handled{spans: saved.Packets}
	p.windows.Restore(saved.Windows, time.Now())
	if err := p.correlator.Restore(saved.Correlations); err != nil {
		p.s.log.WithError(err).Error("correlation counts of the checkpoint dropped")
		p.s.note(troubleCheckpoint, "counts of the checkpoint could not be used: "+err.Error())
	}
	if p.tailer, err = tail.New(from, &saved.Tail, p.s.log); err == nil {
		return nil
	}
	p.s.log.WithError(err).Error("positions of the checkpoint dropped")
	p.s.note(troubleCheckpoint, "positions of the checkpoint could not be used, watched files go on from their ends: "+err.Error())
	p.tailer, err = tail.New(from, nil, p.s.log)
	return err
}

func (p *pipeline) close() {
	if err := p.tailer.Close(); err != nil {
		p.s.log.WithError(err).Warn("files not closed cleanly")
	}
}

// run is the one goroutine in which lines become alerts.
func (p *pipeline) run(ctx context.Context) error {
	over := false
	defer p.crashed(&over)
	err := p.loop(ctx)
	over = true
	return err
}

func (p *pipeline) loop(ctx context.Context) error {
	if err := p.resume(ctx); err != nil {
		return ended(ctx, err)
	}
	looked := sync.OnceFunc(func() { close(p.looked) })
	for wait := firstWait; ctx.Err() == nil; wait = p.patience() {
		p.takeUp()
		w := p.gather(ctx, wait)
		looked()
		if !p.ruled(ctx, w) {
			settle(slices.Concat(p.owed, w.packets), errNotStored)
			return nil // the last checkpoint stands: what is unjudged is read again
		}
		if err := p.round(ctx, w); err != nil {
			return err
		}
	}
	p.stop(ctx)
	return nil
}

// ended makes the end of ctx no error.
func ended(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// resume reads back what we stored since the checkpoint: the publisher leaves it
// out when its lines come again, and its windows are open.
func (p *pipeline) resume(ctx context.Context) error {
	err := p.pub.Resume(ctx, p.lastSeq, func(stored bus.StoredRecord) error {
		p.recall(stored)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read back alerts: %w", err)
	}
	if lost := p.pub.Stats().Lost; lost > 0 {
		p.s.log.WithField("sequences", lost).Error("stored alerts are gone")
		p.s.note(troubleStream, fmt.Sprintf("alerts that were stored are gone: the stream %s ends %d sequences before the last one; the files of the bus were damaged or replaced", bus.Alerts, lost))
	}
	return nil
}

// recall opens the window of an alert that is stored already.
func (p *pipeline) recall(stored bus.StoredRecord) {
	var a event.Alert
	if err := event.Decode(stored.Data, &a); err != nil {
		p.s.log.WithError(err).WithField("stream_seq", stored.Sequence).Warn("stored alert unreadable")
		return
	}
	p.windows.Seen(&a, time.Now())
}

// work is what one round judges.
type work struct {
	lines   []tail.Line
	logs    []docker.Line
	packets []*delivery
}

func (w work) size() int { return len(w.lines) + len(w.logs) + len(w.packets) }

// gather waits for work, at most for wait.
func (p *pipeline) gather(ctx context.Context, wait time.Duration) work {
	w := work{lines: p.read(ctx, wait), logs: p.logs.Take(p.cfg.BatchSize), packets: p.packets.take()}
	if w.size() > 0 {
		p.s.batches.Add(1)
	}
	return w
}

// read waits for lines of files, at most for wait, and no longer than until another source
// has something.
func (p *pipeline) read(ctx context.Context, wait time.Duration) []tail.Line {
	ctx, done := p.bell.wait(ctx, wait)
	defer done()
	lines, _ := p.tailer.Read(ctx, p.cfg.BatchSize) // its only error is that the wait is over
	return lines
}

// patience is how long there is nothing to do but to wait for lines.
func (p *pipeline) patience() time.Duration {
	wait := maxWait
	if next := p.windows.Next(); !next.IsZero() {
		wait = min(wait, time.Until(next))
	}
	if p.dirty {
		wait = min(wait, time.Until(p.saved.Add(p.cfg.FlushInterval())))
	}
	return max(wait, time.Millisecond)
}

// round judges what came, publishes its alerts, and then stores the place reached if
// it is time.
func (p *pipeline) round(ctx context.Context, w work) error {
	var out []event.Record
	p.matched = false
	for _, a := range p.judged(w) {
		out = p.add(out, p.windows.Add(a, time.Now()))
	}
	out = p.add(out, p.windows.Expire(time.Now()))
	p.dirty = p.dirty || w.size() > 0 || len(out) > 0
	p.owed = append(p.owed, w.packets...)
	p.frail = p.frail || p.matched && len(w.packets) > 0
	p.s.observed(p.windows.Stats(), p.correlator.Stats())
	if err := p.publish(ctx, out); err != nil {
		p.unsent = out
		return ended(ctx, err)
	}
	p.settleRefused()
	p.bury(ctx)
	if p.due() {
		p.save()
	}
	p.acknowledge()
	return nil
}

// judged returns the alerts of w, in order, before deduplication.
func (p *pipeline) judged(w work) []*event.Alert {
	var out []*event.Alert
	for _, d := range w.packets {
		out = append(out, p.judgeDelivery(d)...)
	}
	for _, line := range w.logs {
		out = append(out, p.judgeLog(line)...)
	}
	for _, line := range w.lines {
		out = append(out, p.judge(line)...)
	}
	p.trying = ""
	return out
}

func (p *pipeline) add(out []event.Record, alerts []*event.Alert) []event.Record {
	for _, a := range alerts {
		out = append(out, a)
	}
	return out
}

// publish returns when the alerts are stored. One that is no valid record would
// never be: it is counted and left behind.
func (p *pipeline) publish(ctx context.Context, out []event.Record) error {
	if len(out) == 0 {
		return nil
	}
	err := p.pub.Publish(ctx, out...)
	if errors.Is(err, bus.ErrInvalid) {
		p.s.invalid.Add(1)
		p.s.log.WithError(err).Error("alert refused")
		err = nil
	}
	if err != nil {
		return err
	}
	p.s.published(out)
	p.tell(out)
	return nil
}

// tell logs each alert.
func (p *pipeline) tell(out []event.Record) {
	for _, rec := range out {
		a, ok := rec.(*event.Alert)
		if !ok {
			continue
		}
		log := p.s.log.WithField("alert_id", a.ID).WithField("rule_id", a.Rule.ID).
			WithField("severity", a.Severity.String()).WithField("title", a.Title)
		if a.Source != nil {
			log = log.WithField("src_ip", a.Source.IP)
		}
		if a.User != "" {
			log = log.WithField("user", a.User)
		}
		if a.Update {
			log.WithField("count", a.Count).Info("alert counted")
			continue
		}
		log.Info("alert raised")
	}
}
