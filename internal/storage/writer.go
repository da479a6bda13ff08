package storage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/health"
)

const (
	firstRetry    = 250 * time.Millisecond
	maxRetry      = 10 * time.Second
	pingInterval  = 10 * time.Second // how soon it is seen that PostgreSQL is down while nothing is stored
	maintainEvery = time.Hour        // partitions are made days ahead
	healthTopic   = "postgres"
	topicDays     = "postgres retention"
)

// WriterDeps are what a Writer needs. All must be set.
type WriterDeps struct {
	Log     logrus.FieldLogger
	Reasons *health.Reasons // of the module
	// Waiting says how much waits to be stored, such as "12 alerts"; "" if that is not known.
	Waiting func(context.Context) string
	// Poll is called every few seconds by Maintain.
	Poll func(context.Context)
}

// Writer stores the rows of one module: it tries again until it succeeds, keeps tables and partitions in
// order, and says in the module's health why nothing is stored. Its methods may be called concurrently.
type Writer struct {
	store    *Store
	deps     WriterDeps
	prepared atomic.Bool // the tables are there
	failing  atomic.Pointer[failure]
	failures atomic.Uint64
}

// failure is why nothing is stored, and since when.
type failure struct {
	kind  Kind
	since time.Time
}

// OpenWriter returns a Writer for cfg, which the caller closes. It connects to nothing; the error is that of
// CheckURL.
func OpenWriter(cfg Config, deps WriterDeps) (*Writer, error) {
	store, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	return &Writer{store: store, deps: deps}, nil
}

// Close closes the connections and clears the health.
func (w *Writer) Close() {
	w.store.Close()
	w.deps.Reasons.Clear(healthTopic)
	w.deps.Reasons.Clear(topicDays)
}

// Failures returns how many calls of PostgreSQL failed.
func (w *Writer) Failures() uint64 { return w.failures.Load() }

// Up reports whether the last call of PostgreSQL succeeded.
func (w *Writer) Up() bool { return w.failing.Load() == nil }

// Write is Store.Write, tried until it succeeds, with pauses of at most 10 s. stored is called after each attempt with the rows that
// it inserted. Write returns an error when ctx ends, or stopping is closed while PostgreSQL does not store.
func (w *Writer) Write(ctx context.Context, stopping <-chan struct{}, t Table, rows []Row, stored func(int)) (Result, error) {
	for attempt := 0; len(rows) > 0; attempt++ {
		result, err := w.tryWrite(ctx, t, rows)
		stored(result.Inserted)
		if err == nil || ctx.Err() != nil {
			return result, err
		}
		w.failed(ctx, err)
		pause := time.NewTimer(backoff.Delay(attempt, firstRetry, maxRetry))
		select {
		case <-pause.C:
			continue
		case <-stopping:
		case <-ctx.Done():
		}
		pause.Stop()
		return Result{}, err
	}
	return Result{}, nil
}

func (w *Writer) tryWrite(ctx context.Context, t Table, rows []Row) (Result, error) {
	if err := w.prepare(ctx); err != nil {
		return Result{}, err
	}
	result, err := w.store.Write(ctx, t, rows)
	if err == nil {
		w.works()
	}
	return result, err
}

// Maintain makes the tables and partitions, drops what is older than the retention, and checks that PostgreSQL
// answers, also while nothing is stored, until ctx ends.
func (w *Writer) Maintain(ctx context.Context) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for next := time.Now(); ; {
		if time.Now().Before(next) {
			w.ping(ctx)
		} else if w.maintainOnce(ctx) {
			next = time.Now().Add(maintainEvery)
		}
		w.deps.Poll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// maintainOnce reports whether all was done.
func (w *Writer) maintainOnce(ctx context.Context) bool {
	err := w.prepare(ctx)
	var done Maintained
	if err == nil {
		done, err = w.store.Maintain(ctx)
	}
	if ctx.Err() != nil {
		return false
	}
	log := w.deps.Log.WithField("created", done.Created).WithField("dropped", done.Dropped).WithField("indexed", done.Indexed)
	if err != nil {
		w.failed(ctx, err)
		log.WithError(err).Warn("partitions of PostgreSQL not maintained, trying again")
		return false
	}
	w.works()
	w.compareDays(done.OwnersDays)
	if done.Created > 0 || len(done.Dropped) > 0 || done.Indexed != "" {
		log.Info("partitions of PostgreSQL maintained")
	}
	return done.Indexed == "" // another day may have no text index yet
}

// compareDays remarks that the owner of the tables has another number of days kept than the configuration.
func (w *Writer) compareDays(owners int) {
	remark := ""
	if configured := w.store.cfg.RetentionDays; owners != 0 && owners != configured {
		remark = fmt.Sprintf("PostgreSQL has this role keep %d days, and log_pipeline.storage.retention_days is %d: "+
			"execute \"ironpost storage migrate --retention-days %d\" as the owner of its tables", owners, configured, configured)
	}
	w.deps.Reasons.Remark(topicDays, remark)
}

func (w *Writer) ping(ctx context.Context) {
	if err := w.store.Ping(ctx); err != nil && ctx.Err() == nil {
		w.failed(ctx, err)
	} else if f := w.failing.Load(); f != nil && f.kind == Down {
		w.works() // no row may come that shows it
	}
}

// prepare makes the tables or checks them, until that has succeeded once.
func (w *Writer) prepare(ctx context.Context) error {
	if w.prepared.Load() {
		return nil
	}
	if err := w.store.Prepare(ctx); err != nil {
		return err
	}
	w.prepared.Store(true)
	return nil
}

// failed makes the module degraded and says how much waits. A new kind of failure is logged.
func (w *Writer) failed(ctx context.Context, err error) {
	now := failure{kind: Other, since: time.Now()}
	if e := (*Error)(nil); errors.As(err, &e) {
		now.kind = e.Kind
	}
	switch now.kind {
	case Schema:
		w.prepared.Store(false) // such as after an older backup was restored
	case ReadOnly:
		w.store.pool.Reset() // another session may be with the primary, or may write
	}
	w.failures.Add(1)
	before := w.failing.Load()
	if before != nil {
		now.since = before.since
	}
	w.failing.Store(&now)
	reason := fmt.Sprintf("%v (since %s)", err, now.since.UTC().Format(time.RFC3339))
	if waiting := w.deps.Waiting(ctx); waiting != "" {
		reason += ": " + waiting + " wait"
	}
	w.deps.Reasons.Set(healthTopic, reason)
	if before == nil || before.kind != now.kind {
		w.deps.Log.WithError(err).WithField("kind", string(now.kind)).Error("PostgreSQL does not store, trying again")
	}
}

// works is called when PostgreSQL stored or answered.
func (w *Writer) works() {
	before := w.failing.Swap(nil)
	if before == nil {
		return
	}
	w.deps.Reasons.Clear(healthTopic)
	w.deps.Log.WithField("after_secs", int(time.Since(before.since).Seconds())).Info("PostgreSQL stores again")
}
