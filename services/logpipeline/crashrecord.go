package logpipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
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
// that makes it panic would be read again after every restart. Its methods may be called concurrently.
type crashRecord struct {
	path string

	mu      sync.Mutex
	crashes []crash
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

// dead returns the positions of the input that must not be tried again.
func (r *crashRecord) dead() (positions []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.crashes {
		if c.Count >= maxCrashes {
			positions = append(positions, c.Position)
		}
	}
	return positions
}

// add counts a panic over the input at position and writes the file. After an error it is counted all the same.
func (r *crashRecord) add(position string) error {
	r.mu.Lock()
	i := slices.IndexFunc(r.crashes, func(c crash) bool { return c.Position == position })
	if i < 0 {
		i = len(r.crashes)
		r.crashes = append(r.crashes, crash{Position: position})
	}
	r.crashes[i].Count++
	r.crashes = r.crashes[max(0, len(r.crashes)-maxCrashEntries):]
	data, err := json.Marshal(r.crashes)
	r.mu.Unlock()
	if err == nil {
		err = atomicfile.WriteFile(r.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write crash record: %w", err)
	}
	return nil
}

// recordCrash records a panic over the input at position.
func (s *Service) recordCrash(r *crashRecord, position string, panicked error) {
	err := errors.Join(panicked, r.add(position))
	s.log.WithError(err).WithField("position", position).Error("panic while processing, input recorded in the crash record")
}

// deadLetter dead-letters input that must not be processed. Lines stay in their files or logs, so a copy that
// cannot be published blocks nothing; packet records are rejected, and the bus moves them.
func (p *pipeline) deadLetter(ctx context.Context, dead []decoded) {
	p.s.deadLettered.Add(uint64(len(dead)))
	ctx, cancel := context.WithTimeout(ctx, deadLetterWait)
	defer cancel()
	for _, d := range dead {
		if d.delivery != nil {
			respond([]*delivery{d.delivery}, bus.Reject(errPanics))
			continue
		}
		log := p.s.log.WithField("position", d.position)
		err := p.s.deps.Bus.PublishDeadLetter(ctx, bus.DeadLetter{Module: Name, Host: p.s.deps.Host, ID: d.position, Reason: errPanics.Error(), Data: d.text})
		if err != nil {
			log.WithError(err).Error("line skipped, its dead letter could not be stored: " + errPanics.Error())
			continue
		}
		log.Error("line dead-lettered: " + errPanics.Error())
	}
}
