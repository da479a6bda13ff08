package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/rowqueue"
)

// rowBatch bounds the rows of one COPY besides batch_size, so that a batch fits the memory.
const rowBatch = 5000

// rows stores the lines in PostgreSQL. The pipeline appends each line to a queue on disk, and a goroutine of its own
// stores what a checkpoint covers: rules never wait for PostgreSQL.
type rows struct {
	s     *Service
	queue *rowqueue.Queue

	storage  atomic.Pointer[storage.Config] // in force
	reloaded chan struct{}                  // a new configuration is in storage
	full     bool                           // a line did not fit, and the queue has hardly room since
	synced   uint64                         // position that the last sync returned
}

// rowCounters count since the module started.
type rowCounters struct{ stored, again, dropped, rejected, waiting, damaged atomic.Uint64 }

// storageConfig returns the part of c that stores lines; without a URL they are not stored.
func storageConfig(c Config) storage.Config {
	if !c.Storage.LogLines {
		return storage.Config{}
	}
	return storage.Config{
		URL: c.Storage.PostgresURL, BatchSize: min(c.BatchSize, rowBatch), RetentionDays: c.Storage.RetentionDays, TextIndex: c.Storage.TextIndex,
	}
}

// openRows opens the queue at the position of the checkpoint; nil if lines are not stored.
func (s *Service) openRows(cfg Config, saved *checkpoint) (*rows, error) {
	to := storageConfig(cfg)
	if to.URL == "" {
		return nil, nil
	}
	committed := uint64(rowqueue.All)
	if saved != nil && saved.Rows != nil {
		committed = *saved.Rows
	}
	queue, err := rowqueue.Open(filepath.Join(s.deps.DataDir, "rows"), cfg.Storage.QueueMaxBytes, committed)
	if err != nil {
		return nil, err
	}
	r := &rows{s: s, queue: queue, reloaded: make(chan struct{}, 1)}
	r.storage.Store(&to)
	return r, nil
}

// encode returns the record of a line, nil if it is not stored. It may be called concurrently.
func (r *rows) encode(in *input, source string, received time.Time) []byte {
	if r == nil || in.Fields.Text("raw") == "" {
		return nil
	}
	data, err := event.Encode(logOf(in, source, received, r.s.deps))
	if err != nil {
		r.s.rows.dropped.Add(1)
		r.s.log.WithError(err).WithField("position", in.position).Error("line not stored in PostgreSQL")
	}
	return data
}

// add appends the record of a line, if it is not nil. One that does not fit is matched all the same: it is counted as dropped.
func (r *rows) add(data []byte) {
	if data == nil {
		return
	}
	err := r.queue.Append(data)
	if err != nil {
		r.s.rows.dropped.Add(1)
	}
	full := err != nil || r.full && r.queue.AlmostFull() // short lines that still fit do not make it healthy
	if full != r.full {
		r.full = full
		reason := ""
		if full {
			reason = fmt.Sprintf("%v: lines are matched, but not stored in PostgreSQL", err)
			r.s.log.WithError(err).Error("lines are not stored in PostgreSQL")
		}
		r.s.reasons.Set(topicRows, reason)
	}
}

// logOf returns the record of a line. Its id follows from the machine and the line alone.
func logOf(in *input, source string, received time.Time, d Deps) *event.Log {
	id := event.ID(d.MachineID, in.position)
	l := &event.Log{
		ID: id, Schema: event.Schema, TraceID: event.ID("trace", id), Time: in.time.UTC(), Received: received.UTC(),
		Host: d.Host, Source: source, Process: in.Process, Message: in.Fields.Text("raw"), Fields: make(map[string]string, in.Fields.Len()),
		Origin: &in.origin, Trust: in.trust, LogHost: in.Host,
	}
	for name, value := range in.Fields.All() {
		if name != "raw" && !isOriginField(name) {
			l.Fields[name] = value.String()
		}
	}
	return l
}

// sync puts the queue on the disk and returns its position for the checkpoint; before is that of the last one.
func (r *rows) sync(before *uint64) (*uint64, error) {
	if r == nil {
		return before, nil
	}
	position, err := r.queue.Sync()
	r.synced = position
	return &position, err
}

// commit is called when a checkpoint with the position that sync returned is on the disk.
func (r *rows) commit() {
	if r != nil {
		r.queue.Commit(r.synced)
	}
}

// reload takes a new configuration. Whether lines are stored at all changes with the next start.
func (r *rows) reload(c Config) {
	to := storageConfig(c)
	if r == nil || to.URL == "" || to == *r.storage.Load() {
		return
	}
	r.storage.Store(&to)
	select {
	case r.reloaded <- struct{}{}:
	default: // already set
	}
}

// run stores rows until ctx ends, with the newest configuration.
func (r *rows) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.storeUntilReload(ctx); err != nil {
			return err
		}
	}
	return nil
}

// storeUntilReload stores rows until ctx ends or there is a new configuration.
func (r *rows) storeUntilReload(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writer, err := storage.OpenWriter(*r.storage.Load(), storage.WriterDeps{
		Log: r.s.log, Reasons: r.s.reasons, Poll: func(context.Context) { r.count() },
		Waiting: func(context.Context) string { return fmt.Sprintf("%d bytes of log lines", r.queue.Waiting()) },
	})
	if err != nil {
		return fmt.Errorf("log_pipeline.storage.postgres_url: %w", err)
	}
	defer writer.Close()
	g := task.New(ctx)
	g.Go("postgres maintenance", writer.Maintain)
	g.Go("postgres rows", func(ctx context.Context) error { return r.store(ctx, writer) })
	g.Go("postgres reload", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-r.reloaded:
			cancel()
		}
		return nil
	})
	return g.Wait()
}

// store takes rows from the queue and stores them until ctx ends.
func (r *rows) store(ctx context.Context, writer *storage.Writer) error {
	for ctx.Err() == nil {
		records, position, err := r.queue.Next(r.storage.Load().BatchSize)
		if err == nil && len(records) > 0 {
			if r.storeBatch(ctx, writer, records) {
				err = r.queue.Done(position)
			}
			r.count()
		}
		r.s.reasons.Set(topicQueue, errorText(err))
		if err == nil && len(records) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.queue.Ready():
		case <-time.After(maxWait):
		}
	}
	return nil
}

// storeBatch reports whether every row is stored, or dead-lettered because PostgreSQL refuses it.
func (r *rows) storeBatch(ctx context.Context, writer *storage.Writer, records [][]byte) bool {
	batch, data := make([]storage.Row, 0, len(records)), make([][]byte, 0, len(records))
	for _, record := range records {
		var l event.Log
		if err := event.Decode(record, &l); err != nil {
			r.reject(ctx, record, err)
			continue
		}
		batch, data = append(batch, storage.LogRow(&l, record)), append(data, record)
	}
	result, err := writer.Write(ctx, ctx.Done(), storage.Logs, batch, func(n int) { r.s.rows.stored.Add(uint64(n)) })
	if err != nil {
		return false // ctx ended
	}
	r.s.rows.again.Add(uint64(result.Present))
	for _, refused := range result.Rejected {
		r.reject(ctx, data[refused.Index], refused.Err)
	}
	return true
}

// reject dead-letters a row. If that fails the row is dropped and counted: the line is still in the log.
func (r *rows) reject(ctx context.Context, record []byte, why error) {
	r.s.rows.rejected.Add(1)
	err := r.s.deps.Bus.PublishDeadLetter(ctx, bus.DeadLetter{
		Module: Name, Host: r.s.deps.Host, ID: event.ID("row", string(record)), Reason: why.Error(), Data: record,
	})
	r.s.log.WithError(errors.Join(why, err)).Error("line not stored in PostgreSQL")
}

func (r *rows) count() {
	r.s.rows.waiting.Store(r.queue.Waiting())
	r.s.rows.damaged.Store(r.queue.Damaged())
}

// close closes the queue after the pipeline and the storing goroutine have ended.
func (r *rows) close() {
	if r == nil {
		return
	}
	if err := r.queue.Close(); err != nil {
		r.s.log.WithError(err).Warn("queue of log rows not closed cleanly")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
