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
// after, which is the ResumePoint saved with the last checkpoint, calls each (which may
// be nil) for every record in order, and makes Publish leave them out. Call it on
// every start that may publish records again: the stream itself remembers ids for two
// minutes only. A stream that ends before after is read from its end; Stats has how
// much it lost. It retries until ctx ends. It returns each's error, or ctx's.
func (p *Publisher) Resume(ctx context.Context, after uint64, each func(StoredRecord) error) error {
	defer p.stats.unblock()
	err := p.retryRead(ctx, func() (err error) { after, err = p.clampToEnd(ctx, after); return err })
	if err == nil {
		err = p.retryRead(ctx, func() (err error) {
			after, err = p.readBack(ctx, after, func(s StoredRecord) error {
				p.found.add(s)
				if each == nil {
					return nil
				}
				return each(s)
			})
			return err
		})
	}
	if err != nil {
		return err
	}
	p.found.at = time.Now()
	p.stats.reached(after)
	p.endKnown = true
	return nil
}

// ResumePoint returns the sequence to save with a checkpoint, for the next Resume: what may be offered
// again is stored after it. It is LastSeq, but while records that this run's Resume found have not been
// offered again, it is before the first of them: a checkpoint may be saved, and the process killed, when
// only some have. A record whose cause is gone is never offered; none is expected later than within after
// Resume.
func (p *Publisher) ResumePoint(within time.Duration) uint64 {
	if first, waits := p.found.first(within); waits {
		return first - 1
	}
	return p.LastSeq()
}

// Offered notes that the record id came again, for ResumePoint, where the caller itself leaves it out.
// Publish notes what it leaves out.
func (p *Publisher) Offered(id string) { p.found.offered(id) }

// foundRecords are what Resume found stored, in the order of the stream. Those that were offered again leave it.
type foundRecords struct {
	at    time.Time // of Resume
	order []foundRecord
	open  map[digest]struct{}
}

type foundRecord struct {
	id  digest
	seq uint64
}

func (f *foundRecords) add(s StoredRecord) {
	if f.open == nil {
		f.open = map[digest]struct{}{}
	}
	id := digestOf(s.ID)
	f.open[id] = struct{}{}
	f.order = append(f.order, foundRecord{id, s.Sequence})
}

func (f *foundRecords) offered(id string) {
	if len(f.open) > 0 { // spares the digest
		delete(f.open, digestOf(id))
	}
}

// first returns the sequence of the first record that was not offered again.
func (f *foundRecords) first(within time.Duration) (seq uint64, waits bool) {
	if len(f.open) == 0 || age(f.at) > within {
		*f = foundRecords{}
		return 0, false
	}
	for { // ends at one that is open
		if _, open := f.open[f.order[0].id]; open {
			return f.order[0].seq, true
		}
		f.order = f.order[1:]
	}
}

// Forget drops the ids of what is stored up to the sequence through. Call it when a
// checkpoint was saved with that ResumePoint: records before it are not published again.
// Thus p remembers no more ids than the stream holds of its records after the last
// checkpoint.
func (p *Publisher) Forget(through uint64) {
	for id, seq := range p.stored {
		if seq <= through {
			delete(p.stored, id)
		}
	}
}

// callerError carries an error of the caller's function, which ends retries.
type callerError struct{ err error }

// Error implements error.
func (e *callerError) Error() string { return e.err.Error() }

// retryRead repeats read until it succeeds, the caller's function has an error or ctx ends.
func (p *Publisher) retryRead(ctx context.Context, read func() error) error {
	for n := 0; ; n++ {
		err := read()
		if err == nil {
			return nil
		}
		if caller, ok := errors.AsType[*callerError](err); ok {
			return caller.err
		}
		if err := p.waitRetry(ctx, n, err); err != nil {
			return fmt.Errorf("read back %s: %w", p.subject, err)
		}
	}
}

// clampToEnd returns after, or our newest sequence if that is before it, because the
// end of the stream was lost; 0 if the stream holds nothing of ours, as when all of it
// has expired.
func (p *Publisher) clampToEnd(ctx context.Context, after uint64) (uint64, error) {
	last, err := p.c.lastSequence(ctx, p.cfg.Stream, p.subject)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil || last >= after {
		return after, err
	}
	if last, err = p.awaitReplica(ctx, last, after); err != nil || last >= after {
		return after, err
	}
	p.stats.lost.Store(after - last)
	return last, nil
}

// replicaRetries is how often a stream is asked for an end that it ought to have. Any
// replica may answer, also one that lags behind the others; together the pauses take
// more than a second.
const replicaRetries = 8

// awaitReplica asks for our newest sequence until a replica has reached after, and
// returns the newest that any of them had.
func (p *Publisher) awaitReplica(ctx context.Context, last, after uint64) (uint64, error) {
	for n := 0; n < replicaRetries && last < after; n++ {
		if err := p.waitRetry(ctx, n, errLagging); err != nil {
			return last, err
		}
		now, err := p.c.lastSequence(ctx, p.cfg.Stream, p.subject)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return last, err
		}
		last = max(last, now)
	}
	return last, nil
}

var errLagging = errors.New("the stream ends before the last record published to it")

// readBack marks our records after a sequence as stored, and returns the last
// sequence it read.
func (p *Publisher) readBack(ctx context.Context, after uint64, each func(StoredRecord) error) (uint64, error) {
	err := p.c.read(ctx, p.cfg.Stream, pageRequest{Seq: after + 1, Subject: p.subject}, func(s StoredRecord) error {
		if each != nil {
			if err := each(s); err != nil {
				return &callerError{err}
			}
		}
		p.stored[digestOf(s.ID)] = s.Sequence
		p.stats.reached(s.Sequence)
		after = s.Sequence
		return nil
	})
	return after, err
}

// syncWithStream must precede every attempt. It learns, once, where our records end,
// and reads back what unconfirmed attempts stored before the stream forgets their ids.
// It retries until ctx ends.
func (p *Publisher) syncWithStream(ctx context.Context) error {
	for n := 0; ; n++ {
		err := p.trySyncWithStream(ctx)
		if err == nil {
			return nil
		}
		p.stats.block()
		if err := p.waitRetry(ctx, n, err); err != nil {
			return err
		}
	}
}

func (p *Publisher) trySyncWithStream(ctx context.Context) error {
	if !p.endKnown {
		last, err := p.c.lastSequence(ctx, p.cfg.Stream, p.subject)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		p.stats.reached(last)
		p.endKnown = true
	}
	if p.unconfirmed.since.IsZero() || age(p.unconfirmed.since) < p.window/2 {
		return nil
	}
	if err := p.readStored(ctx, p.unconfirmed.after); err != nil {
		return err
	}
	p.unconfirmed = unconfirmed{}
	return nil
}

// age is how old at is by the monotonic or the wall clock, whichever says more: the
// server's window goes by wall time, which may have been changed.
func age(at time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(at), now.Round(0).Sub(at.Round(0)).Abs())
}
