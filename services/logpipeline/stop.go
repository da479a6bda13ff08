package logpipeline

import (
	"context"
	"time"
)

const (
	// drainWait is how long a stop goes on reading, stopWait how long all of it may
	// take. What is left then is read after the next start.
	drainWait  = time.Second
	stopWait   = 5 * time.Second
	drainPause = 50 * time.Millisecond
)

// stop works off what came in before the sources were closed, within a bound. Open
// windows stay open in the checkpoint. If not all alerts could be stored, the last
// checkpoint stands: lines are read again, and packets delivered again.
func (p *pipeline) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	err := p.publish(ctx, p.unsent)
	if err == nil {
		p.unsent = nil
		err = p.drain(ctx)
	}
	if err != nil {
		p.s.log.WithError(err).Warn("stopped before all alerts were stored, their lines are read again")
	} else {
		p.save()
		p.acknowledge()
	}
	settle(p.owed, errNotStored)
	settle(p.packets.take(), errNotStored)
}

// drain goes on until the sources have ended and what they left is judged.
func (p *pipeline) drain(ctx context.Context) error {
	if p.book.absent {
		return nil // there is nothing to judge by
	}
	for ctx.Err() == nil && !p.drained() {
		if _, err := p.step(ctx); err != nil {
			return err
		}
	}
	for until := time.Now().Add(drainWait); time.Now().Before(until) && ctx.Err() == nil; {
		if n, err := p.step(ctx); err != nil || n == 0 {
			return err
		}
	}
	return nil
}

// drained tells whether nothing is received any more.
func (p *pipeline) drained() bool {
	for _, done := range []<-chan struct{}{p.received, p.packets.done} {
		select {
		case <-done:
		default:
			return false
		}
	}
	return true
}

// step is one round of a stop; it returns how much it judged. An error says
// that alerts are left in unsent.
func (p *pipeline) step(ctx context.Context) (int, error) {
	w := p.gather(ctx, drainPause)
	if err := p.round(ctx, w); err != nil {
		return 0, err
	}
	if p.unsent != nil {
		return 0, context.Cause(ctx)
	}
	return w.size(), nil
}
