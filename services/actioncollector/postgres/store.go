package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/storage"
)

// feed is one stream and the table that its records go to.
type feed struct {
	stream  bus.StreamName
	table   storage.Table
	name    string // for people
	durable bus.Durable
	row     func(bus.Delivery) (storage.Row, error)
	counts
}

// handle stores the records that arrived together. It implements bus.BatchHandler and returns when they are
// committed; stopping ends the attempts.
func (s *Sink) handle(ctx context.Context, stopping <-chan struct{}, f *feed, ds []bus.Delivery) []error {
	errs := make([]error, len(ds))
	rows, index := make([]storage.Row, 0, len(ds)), make([]int, 0, len(ds))
	for i, d := range ds {
		row, err := f.row(d)
		if err != nil {
			f.rejected.Add(1)
			errs[i] = bus.Reject(err)
			continue
		}
		rows, index = append(rows, row), append(index, i)
	}
	result, err := s.write(ctx, stopping, f, rows)
	if err != nil {
		for _, i := range index {
			errs[i] = err
		}
		return errs
	}
	for _, r := range result.Rejected {
		f.rejected.Add(1)
		errs[index[r.Index]] = bus.Reject(r.Err)
	}
	return errs
}

// write stores rows. While PostgreSQL cannot, it waits and tries again, so that no more is consumed. It returns
// an error when ctx ends or the sink stops; then the records are delivered again.
func (s *Sink) write(ctx context.Context, stopping <-chan struct{}, f *feed, rows []storage.Row) (storage.Result, error) {
	for attempt := 0; len(rows) > 0; attempt++ {
		result, err := s.tryWrite(ctx, f, rows)
		if err == nil || ctx.Err() != nil {
			return result, err
		}
		s.failed(ctx, err)
		pause := time.NewTimer(backoff.Delay(attempt, firstRetry, maxRetry))
		select {
		case <-pause.C:
		case <-stopping:
			pause.Stop()
			return storage.Result{}, err
		case <-ctx.Done():
			pause.Stop()
			return storage.Result{}, err
		}
	}
	return storage.Result{}, nil
}

func (s *Sink) tryWrite(ctx context.Context, f *feed, rows []storage.Row) (storage.Result, error) {
	if err := s.prepare(ctx); err != nil {
		return storage.Result{}, err
	}
	began := time.Now()
	result, err := s.store.Write(ctx, f.table, rows)
	f.stored.Add(uint64(result.Inserted))
	if err != nil {
		return result, err
	}
	s.seconds.Observe(time.Since(began).Seconds())
	f.duplicates.Add(uint64(result.Present))
	s.works()
	return result, nil
}

func alertRow(d bus.Delivery) (storage.Row, error) {
	var a event.Alert
	if err := decode(d, &a, &a.Module, &a.Host); err != nil {
		return storage.Row{}, err
	}
	return storage.AlertRow(&a, message(d)), nil
}

func actionRow(d bus.Delivery) (storage.Row, error) {
	var a event.Action
	if err := decode(d, &a, &a.Module, &a.Host); err != nil {
		return storage.Row{}, err
	}
	return storage.ActionRow(&a, message(d)), nil
}

// decode reads d into r, whose module and host must be those that the server saw it come from.
func decode(d bus.Delivery, r event.Record, module, host *string) error {
	if err := event.Decode(d.Data, r); err != nil {
		return err
	}
	if m, h := d.Origin(); *module != m || *host != h {
		return fmt.Errorf("a record of %s on %q, published by %s on %q", *module, *host, m, h)
	}
	return nil
}

func message(d bus.Delivery) storage.Message {
	return storage.Message{ReceivedAt: d.StoredAt, Sequence: d.Sequence, Data: d.Data}
}
