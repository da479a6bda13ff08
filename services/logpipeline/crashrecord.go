package logpipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	// maxCrashes is how often the pipeline may panic over one line before that is dead-lettered.
	maxCrashes = 3
	// maxCrashEntries bounds the crash record; the oldest entries are dropped.
	maxCrashEntries = 256
	deadLetterWait  = 5 * time.Second
)

// errPanics is the reason of a dead letter.
var errPanics = fmt.Errorf("the pipeline panicked over it %d times", maxCrashes)

// crashRecord remembers in a file over which lines and packet records the pipeline panicked: without it, one
// that makes it panic would be read again after every restart.
type crashRecord struct {
	path    string
	crashes []crash
	current string // position being processed, "" if none is
}

// crash is one position and how often the pipeline panicked over it.
type crash struct {
	Position string `json:"position"`
	Count    int    `json:"count"`
}

// load reads the file. After an error the record is empty and can be used.
func (r *crashRecord) load() error {
	data, err := readCapped(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r.crashes)
	}
	if err != nil {
		r.crashes = nil
		return fmt.Errorf("read crash record: %w", err)
	}
	return nil
}

// begin notes that position is processed now. It returns false if that must not be tried again.
func (r *crashRecord) begin(position string) bool {
	r.current = position
	return !slices.ContainsFunc(r.crashes, func(c crash) bool { return c.Position == position && c.Count >= maxCrashes })
}

// save counts a panic over the current position.
func (r *crashRecord) save() error {
	i := slices.IndexFunc(r.crashes, func(c crash) bool { return c.Position == r.current })
	if i < 0 {
		i = len(r.crashes)
		r.crashes = append(r.crashes, crash{Position: r.current})
	}
	r.crashes[i].Count++
	r.crashes = r.crashes[max(0, len(r.crashes)-maxCrashEntries):]
	data, err := json.Marshal(r.crashes)
	if err == nil {
		err = atomicfile.WriteFile(r.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write crash record: %w", err)
	}
	return nil
}

// recordCrash is deferred by run; returned is false if run panicked. The panic goes on after it.
func (p *pipeline) recordCrash(returned *bool) {
	if *returned || p.crashes.current == "" {
		return
	}
	log := p.s.log.WithField("position", p.crashes.current)
	if err := p.crashes.save(); err != nil {
		log = log.WithError(err)
	}
	log.Error("panic while processing, input recorded in the crash record")
}

// deadLine is a line that is not processed because it makes the pipeline panic.
type deadLine struct {
	position string
	text     []byte
}

// deadLetter dead-letters what must not be processed. Lines stay in their files or logs, so a copy that
// cannot be published blocks nothing; packet records are rejected, and the bus moves them.
func (p *pipeline) deadLetter(ctx context.Context, r result) {
	p.s.deadLettered.Add(uint64(len(r.deadPackets) + len(r.deadLines)))
	respond(r.deadPackets, bus.Reject(errPanics))
	ctx, cancel := context.WithTimeout(ctx, deadLetterWait)
	defer cancel()
	for _, l := range r.deadLines {
		log := p.s.log.WithField("position", l.position)
		err := p.s.deps.Bus.PublishDeadLetter(ctx, bus.DeadLetter{Module: Name, Host: p.s.deps.Host, ID: l.position, Reason: errPanics.Error(), Data: l.text})
		if err != nil {
			log.WithError(err).Error("line skipped, its dead letter could not be stored: " + errPanics.Error())
			continue
		}
		log.Error("line dead-lettered: " + errPanics.Error())
	}
}
