package bus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// StoredRecord is a record as the stream holds it. Data is the record's JSON; Time is
// the server's.
type StoredRecord struct {
	ID       string
	Subject  string
	Sequence uint64
	Time     time.Time
	Data     []byte
}

// Resume reads back what the stream holds of this publisher after the sequence
// after, which is the LastSeq of the last checkpoint, calls each for every record
// in order (each may be nil) and makes Publish skip them. Call it on every start
// that may repeat records: the stream itself remembers ids for two minutes only.
// A stream that ends before after is read from its end; Stats has how much it lost.
// It returns each's error, or ctx's.
func (p *Publisher) Resume(ctx context.Context, after uint64, each func(StoredRecord) error) error {
	bound := func() (err error) { after, err = p.bound(ctx, after); return err }
	read := func() (err error) { after, err = p.readBack(ctx, after, each); return err }
	for _, step := range []func() error{bound, read} {
		if err := p.insist(ctx, step); err != nil {
			return err
		}
	}
	p.counts.reached(after)
	p.based = true
	return nil
}

// insist repeats step until it succeeds, the caller's function has an error or ctx ends.
func (p *Publisher) insist(ctx context.Context, step func() error) error {
	for n := 0; ; n++ {
		err := step()
		if err == nil {
			return nil
		}
		if stop, ok := errors.AsType[*stopReading](err); ok {
			return stop.err
		}
		if err := p.wait(ctx, n, err); err != nil {
			return fmt.Errorf("read back %s: %w", p.subject, err)
		}
	}
}

// bound returns after, or our newest sequence if that is before it: the stream's end
// was lost. A stream with nothing of ours may as well have been emptied by age.
func (p *Publisher) bound(ctx context.Context, after uint64) (uint64, error) {
	last, err := p.c.lastOf(ctx, p.cfg.Stream, p.subject)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil || last >= after {
		return after, err
	}
	if last, err = p.caughtUp(ctx, last, after); err != nil || last >= after {
		return after, err
	}
	p.counts.lost.Store(after - last)
	return last, nil
}

// replicaLags is how often a stream is asked for an end that it ought to have. Any replica
// answers, also one that has not yet got what the others have; together the pauses are
// more than a second.
const replicaLags = 8

// caughtUp asks for our newest sequence until a replica answers that it has come to
// after, and returns the newest that any of them had.
func (p *Publisher) caughtUp(ctx context.Context, last, after uint64) (uint64, error) {
	for n := 0; n < replicaLags && last < after; n++ {
		if err := p.wait(ctx, n, errLagging); err != nil {
			return last, err
		}
		now, err := p.c.lastOf(ctx, p.cfg.Stream, p.subject)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return last, err
		}
		last = max(last, now)
	}
	return last, nil
}

var errLagging = errors.New("the stream ends before our last record")

// stopReading carries an error of the caller's function.
type stopReading struct{ err error }

// Error implements error.
func (s *stopReading) Error() string { return s.err.Error() }

// readBack remembers the ids of our records after a sequence. It returns how far it
// came.
func (p *Publisher) readBack(ctx context.Context, after uint64, each func(StoredRecord) error) (uint64, error) {
	err := p.c.read(ctx, p.cfg.Stream, pageRequest{Seq: after + 1, Subject: p.subject}, func(s StoredRecord) error {
		if each != nil {
			if err := each(s); err != nil {
				return &stopReading{err}
			}
		}
		p.known[digestOf(s.ID)] = struct{}{}
		p.counts.reached(s.Sequence)
		after = s.Sequence
		return nil
	})
	return after, err
}

// settle must precede every attempt. It learns, once, where our records end, and
// looks up what unanswered attempts stored before the stream forgets their ids.
func (p *Publisher) settle(ctx context.Context) error {
	if !p.based {
		return p.findBase(ctx)
	}
	if p.doubt.since.IsZero() || age(p.doubt.since) < p.window/2 {
		return nil
	}
	if _, err := p.readBack(ctx, p.doubt.after, nil); err != nil {
		return p.retrySettle(ctx, err)
	}
	p.doubt = doubt{}
	return nil
}

func (p *Publisher) findBase(ctx context.Context) error {
	last, err := p.c.lastOf(ctx, p.cfg.Stream, p.subject)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return p.retrySettle(ctx, err)
	}
	p.counts.reached(last)
	p.based = true
	return nil
}

// retrySettle waits and settles again.
func (p *Publisher) retrySettle(ctx context.Context, why error) error {
	p.counts.block()
	if err := p.wait(ctx, 5, why); err != nil {
		return err
	}
	return p.settle(ctx)
}

// age is how old at is by either clock: the server's window goes by wall time, and
// somebody may have moved it.
func age(at time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(at), now.Round(0).Sub(at.Round(0)).Abs())
}
