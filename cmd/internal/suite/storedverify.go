package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// verifyPage is how many messages are read before a pause, nine times as long: a tenth of a core at most.
	verifyPage   = 500
	verifyPauses = 9
)

// verify reads all records once after a start: the server counts messages of a damaged block that it cannot deliver, and does
// not say so. It runs beside the modules, until ctx ends.
func (s *stored) verify(ctx context.Context) error {
	for _, stream := range []bus.StreamName{bus.Alerts, bus.Actions, bus.DLQ} {
		if err := s.verifyStream(ctx, stream); err != nil && ctx.Err() == nil {
			s.log.WithError(err).WithField("stream", stream).Warn("stored messages could not be verified")
		}
	}
	return nil
}

func (s *stored) verifyStream(ctx context.Context, stream bus.StreamName) error {
	before, err := s.conn.Holding(ctx, stream)
	if err != nil || before.Messages == 0 {
		return err
	}
	readable, err := s.countReadable(ctx, stream, before.Last)
	if err != nil {
		return err
	}
	after, err := s.conn.Holding(ctx, stream)
	if err != nil || after.First != before.First || readable >= before.Messages { // the oldest may have been removed meanwhile
		return err
	}
	s.mu.Lock()
	state := s.now.Streams[string(stream)]
	damaged := before.Messages - readable
	added := damaged - min(damaged, state.Unreadable)
	state.Unreadable = damaged
	s.now.Streams[string(stream)] = state
	s.mu.Unlock()
	if added > 0 {
		s.lose(busName, fmt.Sprintf("%d stored messages of %s are damaged and cannot be read: the files of the bus were damaged", added, stream))
	}
	return nil
}

// countReadable counts the messages of stream through the sequence last.
func (s *stored) countReadable(ctx context.Context, stream bus.StreamName, last uint64) (n uint64, err error) {
	began := time.Now()
	err = s.conn.History(ctx, stream, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		if d.Sequence > last {
			return false
		}
		if n++; n%verifyPage == 0 {
			task.Pause(ctx, verifyPauses*time.Since(began))
			began = time.Now()
		}
		return d.Sequence < last && ctx.Err() == nil
	})
	return n, errors.Join(err, ctx.Err())
}
