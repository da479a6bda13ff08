package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	engine "github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

// reader is one container. Its place is how far its lines were queued, which is at
// or beyond how far they were taken. Source.mu guards all of it.
type reader struct {
	container Container
	place     Place
	active    bool   // a goroutine reads
	again     bool   // the container was started meanwhile
	whole     bool   // it does not run, and its log was read to the end
	opened    bool   // its log could be read at least once
	reason    string // why it is not read
}

// follow makes sure that the log of c is read: on and on if it runs, else once to its
// end.
func (s *Source) follow(g *task.Group, c Container, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[c.ID]
	if c.ID == s.self || !s.on {
		return
	}
	if r == nil {
		r = &reader{place: s.state.Places[c.ID].clone()}
		s.readers[c.ID] = r
	}
	r.container = c
	r.whole = r.whole && !runs
	switch {
	case r.active:
		r.again = r.again || runs
		return
	case r.whole:
		return
	case s.active >= maxContainers:
		s.capped = true
		return
	}
	r.active, r.again = true, false
	s.active++
	g.Go("container log", func(ctx context.Context) error {
		s.readOn(ctx, r, runs)
		return nil
	})
}

// left notes that no goroutine reads r any more. The lock is held, so that a start
// of the container is seen by either the reader or follow.
func (s *Source) left(r *reader) {
	r.active = false
	s.active--
}

// readOn reads until the container has ended, or ctx. A machine may have thousands of
// containers that ended: few of them are read at once.
func (s *Source) readOn(ctx context.Context, r *reader, runs bool) {
	for first := true; ; first = false {
		err := s.inTurn(ctx, first && !runs, func() error { return s.readLog(ctx, r) })
		if err == nil {
			err = s.settled(ctx, r)
		}
		wait, done := s.judge(ctx, r, err)
		if done {
			return
		}
		task.Pause(ctx, wait)
	}
}

// inTurn calls fn, and if it has to queue only when it is its turn.
func (s *Source) inTurn(ctx context.Context, queues bool, fn func() error) error {
	if !queues {
		return fn()
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
		return fn()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readLog reads what the log holds after the place of r, and what comes, until it ends.
func (s *Source) readLog(ctx context.Context, r *reader) error {
	s.mu.Lock()
	id, place := r.container.ID, r.place.clone()
	since := place.since()
	if since.Before(s.state.Begun) {
		since = s.state.Begun
	}
	s.mu.Unlock()
	in := &passage{place: place, last: since, streams: map[string]*strand{}}
	return s.client.Logs(ctx, id, engine.LogOptions{Since: since, Follow: true, MaxLine: longest}, func(l engine.LogLine) error {
		if in.old(&l) {
			return nil
		}
		return s.queue(ctx, r, l)
	})
}

// passage is one reading of a log, from a place on.
type passage struct {
	place   Place
	last    time.Time
	streams map[string]*strand
}

// strand is one stream in it.
type strand struct {
	replay
	recent

	highest int64
}

// old reports whether l was handed out before: in an earlier passage, or in this one.
func (p *passage) old(l *engine.LogLine) bool {
	if l.Time.IsZero() { // the engine wrote none
		l.Time = p.last
	}
	p.last = l.Time
	st := p.streams[l.Stream]
	if st == nil {
		st = &strand{replay: replay{mark: p.place[l.Stream]}, recent: *newRecent()}
		p.streams[l.Stream] = st
	}
	at := l.Time.UnixNano()
	if at <= st.highest && st.holds(at, l.Text) {
		return true
	}
	st.highest = max(st.highest, at)
	st.add(at, l.Text)
	return st.seen(at)
}

// errRuns says that the engine ended the log of a container that runs, as it does
// when the container is restarted.
var errRuns = errors.New("the container runs")

// settled returns nil if the container, whose log was read to its end, has ended.
func (s *Source) settled(ctx context.Context, r *reader) error {
	s.mu.Lock()
	r.opened = true
	id := r.container.ID
	s.mu.Unlock()
	c, _, err := s.client.Inspect(ctx, id)
	if err == nil && c.Running {
		return errRuns
	}
	return err
}

// judge decides how to go on after a log was read to its end or to an error.
func (s *Source) judge(ctx context.Context, r *reader, err error) (wait time.Duration, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	class := engine.ClassOf(err)
	r.reason = ""
	switch {
	case ctx.Err() != nil:
	case err == nil && r.again:
		r.again = false
		return 0, false
	case err == nil:
		r.whole = true
	case class == engine.NotFound:
		if !r.opened {
			s.missed++
		}
	case errors.Is(err, errRuns):
		r.again = false
		return retry / 10, false
	case class == engine.Unavailable:
		return retry, false
	default:
		r.reason = firstLine(err.Error())
		return reminder, false
	}
	s.left(r)
	return 0, true
}

// queue puts a line where Take finds it, and waits for room.
func (s *Source) queue(ctx context.Context, r *reader, l engine.LogLine) error {
	for ctx.Err() == nil {
		if s.put(r, l) {
			s.cfg.Wake()
			return nil
		}
		select {
		case <-ctx.Done():
		case <-s.room:
		}
	}
	return ctx.Err()
}

func (s *Source) put(r *reader, l engine.LogLine) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) >= queued || s.bytes > 0 && s.bytes+len(l.Text) > queuedBytes {
		return false
	}
	if limit := int(s.maxLine.Load()); len(l.Text) > limit {
		l.Text, l.Truncated = l.Text[:limit], true
	}
	if l.Truncated {
		s.truncated++
	}
	mark := r.place[l.Stream].after(l.Time.UnixNano())
	r.place[l.Stream] = mark
	r.opened = true
	s.lines = append(s.lines, Line{
		Container: r.container, Time: l.Time, Position: position(r.container.ID, l.Stream, mark),
		Text: l.Text, Truncated: l.Truncated, stream: l.Stream, mark: mark,
	})
	s.bytes += len(l.Text)
	if len(s.lines) < queued && s.bytes < queuedBytes {
		tell(s.room) // another reader may be waiting
	}
	return true
}

func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}
