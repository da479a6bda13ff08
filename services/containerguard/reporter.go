package containerguard

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
)

const (
	reportQueue  = 1024 // when it is full callers wait: the stream is full or the bus away
	reportBatch  = 100  // actions published together
	markFile     = "reports.json"
	markInterval = time.Minute
	maxMarks     = 60 // the mark is an hour old: actions of the hour before a crash are not stored twice
)

// reporter publishes the actions of all responses in order. Its methods but run and
// resume may be called concurrently.
type reporter struct {
	pub   *bus.Publisher
	files *folder.Folder // of the mark
	log   logrus.FieldLogger
	queue chan report
	marks []uint64 // the stream's last sequence at each of the last minutes
}

// report is an action, or a barrier that is closed when all before it are stored.
type report struct {
	action  *event.Action
	barrier chan struct{}
}

func newReporter(pub *bus.Publisher, files *folder.Folder, log logrus.FieldLogger) *reporter {
	return &reporter{pub: pub, files: files, log: log, queue: make(chan report, reportQueue)}
}

// add queues an action. It is lost only if ctx ends first; then its alert is not
// acknowledged and is redelivered.
func (r *reporter) add(ctx context.Context, a event.Action) {
	if r.enqueue(ctx, report{action: &a}) != nil {
		r.log.WithField("action_id", a.ID).Warn("action not reported: the guard is stopping")
	}
}

// store queues an action and waits until it is stored, for no longer than timeout. It
// returns false if the action could not be queued in that time.
func (r *reporter) store(ctx context.Context, a event.Action, timeout time.Duration) (queued bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if r.enqueue(ctx, report{action: &a}) != nil {
		return false
	}
	_ = r.flush(ctx) // the time is up: it is stored later
	return true
}

// flush returns nil when every action added before is stored, or the error of ctx.
func (r *reporter) flush(ctx context.Context) error {
	barrier := make(chan struct{})
	if err := r.enqueue(ctx, report{barrier: barrier}); err != nil {
		return err
	}
	select {
	case <-barrier:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reporter) enqueue(ctx context.Context, next report) error {
	select {
	case r.queue <- next:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resume reads back the actions that an earlier run stored after the mark, so that they
// are not stored twice, and logs an error if stored actions are gone.
func (r *reporter) resume(ctx context.Context) error {
	if err := r.pub.Resume(ctx, r.readMark(), nil); err != nil {
		return err
	}
	if lost := r.pub.Stats().Lost; lost > 0 {
		r.log.WithField("stream", bus.Actions).WithField("sequences", lost).
			Error("stored actions are gone: the files of the bus were damaged or replaced")
	}
	return nil
}

// run publishes until ctx ends, then returns nil, or until publishing fails. It is
// stopped last, after a flush; actions still queued then are reported again after the
// next start.
func (r *reporter) run(ctx context.Context) error {
	tick := time.NewTicker(markInterval)
	defer tick.Stop()
	for {
		select {
		case first := <-r.queue:
			if err := r.publish(ctx, r.nextBatch(first)); err != nil && ctx.Err() == nil {
				return err
			}
		case <-tick.C:
			r.saveMark()
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *reporter) nextBatch(first report) []report {
	batch := []report{first}
	for len(batch) < reportBatch {
		select {
		case next := <-r.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (r *reporter) publish(ctx context.Context, batch []report) error {
	var records []event.Record
	for _, next := range batch {
		if next.action != nil {
			records = append(records, next.action)
		}
	}
	err := r.pub.Publish(ctx, records...)
	if errors.Is(err, bus.ErrInvalid) { // the others are stored
		r.log.WithError(err).Error("action is no valid record and was not stored")
		err = nil
	}
	if err != nil {
		return err
	}
	for _, next := range batch {
		if next.barrier != nil {
			close(next.barrier)
		}
	}
	return nil
}

// mark is the sequence after which resume looks for actions that were stored.
type mark struct {
	After uint64 `json:"after"`
}

// saveMark writes where the stream stood an hour ago. Without the file the next start
// reads the whole stream.
func (r *reporter) saveMark() {
	r.marks = append(r.marks, r.pub.LastSeq())
	if len(r.marks) <= maxMarks {
		return
	}
	r.marks = r.marks[len(r.marks)-maxMarks:]
	data, err := json.Marshal(mark{After: r.marks[0]})
	if err == nil {
		err = r.files.Write(markFile, data)
	}
	if err != nil {
		r.log.WithError(err).Warn("cannot save the position in the stream of actions: the next start reads more of it")
		return
	}
	r.pub.Forget(r.marks[0])
}

// readMark returns 0, the whole stream, if the file cannot be used.
func (r *reporter) readMark() uint64 {
	data, err := r.files.Read(markFile, 1<<10)
	var m mark
	if err != nil || json.Unmarshal(data, &m) != nil {
		return 0
	}
	return m.After
}
