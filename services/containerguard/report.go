package containerguard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/folder"
)

const (
	reportQueue  = 1024 // when it is full, who reports waits: the stream is full or the bus away
	reportBatch  = 100
	markInterval = time.Minute
	marks        = 60 // so what came within an hour before a crash is not stored twice
)

// reporter publishes actions for many, in order, and says when they are stored.
type reporter struct {
	pub   *bus.Publisher
	files *folder.Folder // of the mark
	log   logrus.FieldLogger
	queue chan report
	bad   atomic.Uint64 // actions that were no valid record
	ring  []uint64      // LastSeq, a minute apart
}

// report is an action, or a barrier that is closed once all before it are stored.
type report struct {
	action  *event.Action
	barrier chan struct{}
}

func newReporter(pub *bus.Publisher, files *folder.Folder, log logrus.FieldLogger) *reporter {
	return &reporter{pub: pub, files: files, log: log, queue: make(chan report, reportQueue)}
}

// add queues a; it is lost only if ctx ends first, and then the alert behind it comes again.
func (r *reporter) add(ctx context.Context, a event.Action) {
	select {
	case r.queue <- report{action: &a}:
	case <-ctx.Done():
		r.log.WithField("action_id", a.ID).Warn("action not reported, the guard stops")
	}
}

// flush returns nil once everything added before is stored.
func (r *reporter) flush(ctx context.Context) error {
	barrier := make(chan struct{})
	select {
	case r.queue <- report{barrier: barrier}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-barrier:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resume reads back what was stored before, so that it is not stored twice, and tells if it is gone.
func (r *reporter) resume(ctx context.Context) error {
	if err := r.pub.Resume(ctx, r.mark(), nil); err != nil {
		return err
	}
	if lost := r.pub.Stats().Lost; lost > 0 {
		r.log.WithField("stream", bus.Actions).WithField("sequences", lost).
			Error("stored actions are gone, the files of the bus were damaged or replaced")
	}
	return nil
}

// run publishes until ctx ends. What is queued then has had its time: run is the
// last to be stopped.
func (r *reporter) run(ctx context.Context) error {
	tick := time.NewTicker(markInterval)
	defer tick.Stop()
	for {
		select {
		case first := <-r.queue:
			if err := r.publish(ctx, r.nextBatch(first)); err != nil {
				return nil // ctx ended; what is not stored is reported again after the next start
			}
		case <-tick.C:
			r.saveMark()
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *reporter) nextBatch(first report) []report {
	all := []report{first}
	for len(all) < reportBatch {
		select {
		case next := <-r.queue:
			all = append(all, next)
		default:
			return all
		}
	}
	return all
}

func (r *reporter) publish(ctx context.Context, all []report) error {
	var records []event.Record
	for _, rep := range all {
		if rep.action != nil {
			records = append(records, rep.action)
		}
	}
	err := r.pub.Publish(ctx, records...)
	if errors.Is(err, bus.ErrInvalid) { // the others are stored
		r.bad.Add(1)
		r.log.WithError(err).Error("action is no valid record")
		err = nil
	}
	if err != nil {
		return err
	}
	for _, rep := range all {
		if rep.barrier != nil {
			close(rep.barrier)
		}
	}
	return nil
}

// saveMark writes where the stream stood an hour ago. Losing the file costs a longer
// look back at the next start.
func (r *reporter) saveMark() {
	r.ring = append(r.ring, r.pub.LastSeq())
	if len(r.ring) <= marks {
		return
	}
	r.ring = r.ring[len(r.ring)-marks:]
	data, err := json.Marshal(mark{After: r.ring[0]})
	if err == nil {
		err = r.files.Write(markFile, data)
	}
	if err != nil {
		r.log.WithError(err).Warn("place in the stream of actions not saved")
	}
}

const markFile = "reports.json"

// mark is a sequence that what may be reported again comes after.
type mark struct {
	After uint64 `json:"after"`
}

// mark returns 0, the whole stream, if the file says nothing.
func (r *reporter) mark() uint64 {
	data, err := r.files.Read(markFile, 1<<10)
	var m mark
	if err != nil || json.Unmarshal(data, &m) != nil {
		return 0
	}
	return m.After
}

// idOf makes an id that follows from parts.
func idOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
