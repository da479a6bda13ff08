package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
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

// handle stores the records that arrived together and returns when they are committed, with the results of a
// bus.BatchHandler. While PostgreSQL cannot store it waits and tries again, so that no more is consumed; stopping
// ends the attempts.
func (s *Sink) handle(ctx context.Context, stopping <-chan struct{}, writer *storage.Writer, f *feed, ds []bus.Delivery) []error {
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
	began := time.Now()
	result, err := writer.Write(ctx, stopping, f.table, rows, func(n int) { f.stored.Add(uint64(n)) })
	if err != nil {
		for _, i := range index {
			errs[i] = err
		}
		return errs
	}
	s.seconds.Observe(time.Since(began).Seconds())
	f.duplicates.Add(uint64(result.Present))
	for _, r := range result.Rejected {
		f.rejected.Add(1)
		errs[index[r.Index]] = bus.Reject(r.Err)
	}
	return errs
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
