package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/backoff"
	dockerapi "github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

// reader reads the log of one container. Source.mu guards all fields.
type reader struct {
	container Container
	position  LogPosition // how far lines were queued, which is at or after how far they are done
	active    bool        // a goroutine reads
	restarted bool        // the container was started while a goroutine reads
	complete  bool        // the container does not run, and its log was read to the end
	opened    bool        // its log could be read at least once
	reason    string      // why it is not read
	failures  int         // in a row

	lines []Line        // that wait
	bytes int           // of lines
	taken []Line        // returned by Next, and not done
	room  chan struct{} // signals that lines were taken; holds one
}

// busy reports whether r is read or has lines that are not done.
func (r *reader) busy() bool { return r.active || len(r.lines) > 0 || r.taken != nil }

// oldest returns the oldest line that is not done, nil if there is none.
func (r *reader) oldest() *Line {
	for _, lines := range [][]Line{r.taken, r.lines} {
		if len(lines) > 0 {
			return &lines[0]
		}
	}
	return nil
}

// startReader makes sure that the log of c is read: continuously if it runs, else once to its end.
func (s *Source) startReader(g *task.Group, c Container, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[c.ID]
	if c.ID == s.self || !s.enabled {
		return
	}
	if r == nil {
		r = &reader{position: s.state.Containers[c.ID].clone(), room: make(chan struct{}, 1)}
		s.readers[c.ID] = r
	}
	r.container = c
	r.complete = r.complete && !runs
	switch {
	case r.active:
		r.restarted = r.restarted || runs
		return
	case r.complete:
		return
	case s.active >= maxContainers:
		s.capped = true
		return
	}
	r.active, r.restarted = true, false
	s.active++
	g.Go("container log", func(ctx context.Context) error {
		s.runReader(ctx, r, runs)
		return nil
	})
}

// runReader reads until the container or ctx has ended. A machine may have thousands of containers that do
// not run: their logs are read a few at a time.
func (s *Source) runReader(ctx context.Context, r *reader, runs bool) {
	if !runs {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			s.nextAttempt(ctx, r, nil)
			return
		}
	}
	for holdsSlot := !runs; ; holdsSlot = false {
		err := s.readLog(ctx, r)
		if holdsSlot {
			<-s.slots
		}
		wait, done := s.nextAttempt(ctx, r, err)
		if done {
			return
		}
		task.Pause(ctx, wait)
	}
}

// errRuns means that Docker ended the log of a container that runs, as it does when the container is
// restarted.
var errRuns = errors.New("the container runs")

// errRemoved means that the container is being removed, and its log with it.
var errRemoved = errors.New("the container is being removed")

// readLog reads the log of r after its position until it ends. It returns nil if the container has ended.
func (s *Source) readLog(ctx context.Context, r *reader) error {
	s.mu.Lock()
	id := r.container.ID
	s.mu.Unlock()
	err := s.followLog(ctx, r)
	switch dockerapi.ClassOf(err) {
	case dockerapi.Conflict: // it is marked for removal, and its state may be running until it is killed
		return errRemoved
	case dockerapi.ServerError: // it may have been removed meanwhile
		if c, _, failed := s.client.Inspect(ctx, id); failed != nil {
			return failed
		} else if c.State == "removing" || c.State == "dead" {
			return errRemoved
		}
	}
	return err
}

func (s *Source) followLog(ctx context.Context, r *reader) error {
	s.mu.Lock()
	id, position := r.container.ID, r.position.clone()
	since := position.since()
	if since.Before(s.state.Begun) {
		since = s.state.Begun
	}
	s.mu.Unlock()
	reading := newLogReading(position, since)
	err := s.client.Logs(ctx, id, dockerapi.LogOptions{Since: since, Follow: true, MaxLine: longestLine}, func(l dockerapi.LogLine) error {
		if reading.seen(&l) {
			return nil
		}
		return s.queue(ctx, r, l)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	r.opened, r.failures = true, 0
	s.mu.Unlock()
	c, _, err := s.client.Inspect(ctx, id)
	if err == nil && c.Running {
		return errRuns
	}
	return err
}

// nextAttempt decides how to continue after readLog returned err: again after wait, or not at all. The lock
// is held over the decision, so that a start of the container is noticed here or in startReader.
func (s *Source) nextAttempt(ctx context.Context, r *reader, err error) (wait time.Duration, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	class := dockerapi.ClassOf(err)
	r.reason = ""
	switch {
	case ctx.Err() != nil:
	case err == nil && r.restarted:
		r.restarted = false
		return 0, false
	case err == nil:
		r.complete = true
	case class == dockerapi.NotFound, errors.Is(err, errRemoved):
		if !r.opened && !r.complete {
			s.missed++
			if s.cfg.OnMissed != nil {
				s.cfg.OnMissed(r.container.Name)
			}
		}
		r.complete = true
	case errors.Is(err, errRuns):
		r.restarted = false
		return retryWait / 10, false
	case class == dockerapi.Unavailable:
		return retryWait, false
	default:
		r.reason, _, _ = strings.Cut(err.Error(), "\n")
		r.failures++
		return backoff.Delay(r.failures-1, retryWait, longRetryWait), false
	}
	r.active = false
	s.active--
	return 0, true
}

// queue puts a line where Next finds it, and waits while there is no room.
func (s *Source) queue(ctx context.Context, r *reader, l dockerapi.LogLine) error {
	for ctx.Err() == nil {
		if s.tryQueue(r, l) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-r.room:
		case <-time.After(roomRetry): // of all containers together
		}
	}
	return ctx.Err()
}

func (s *Source) tryQueue(r *reader, l dockerapi.LogLine) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := len(l.Text); {
	case len(r.lines) >= maxQueued, r.bytes > 0 && (r.bytes+n > maxQueuedBytes || s.bytes+n > maxAllBytes):
		return false
	case !s.enabled:
		return true
	}
	if limit := int(s.maxLine.Load()); len(l.Text) > limit {
		l.Text, l.Truncated = l.Text[:limit], true
	}
	if l.Truncated {
		s.truncated++
	}
	after := r.position[l.Stream].next(l.Time.UnixNano())
	r.position[l.Stream] = after
	r.opened = true
	r.lines = append(r.lines, Line{
		Container: r.container, Time: l.Time, Position: linePosition(r.container.ID, l.Stream, after),
		Text: l.Text, Truncated: l.Truncated, stream: l.Stream, after: after,
	})
	r.bytes += len(l.Text)
	s.bytes += len(l.Text)
	if len(r.lines) == 1 && r.taken == nil {
		s.ready = append(s.ready, r)
		s.cfg.Wake()
	}
	return true
}
