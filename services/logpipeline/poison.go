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
)

const (
	// maxCrashes is how often the pipeline may panic over one thing before it is put
	// aside; maxPoison is how many things are remembered, the newest.
	maxCrashes = 3
	maxPoison  = 256
	buryWait   = 5 * time.Second
)

// errPoison is why a record of the engine is rejected.
var errPoison = fmt.Errorf("the pipeline panicked over it %d times", maxCrashes)

// poison remembers in a file what the pipeline panicked over: it would be read again
// after each restart, for ever.
type poison struct {
	path    string
	crashes []crash
}

// crash is one thing, by its position, and how often it was too much.
type crash struct {
	Position string `json:"position"`
	Count    int    `json:"count"`
}

// load reads the file; one that cannot be read is as good as none.
func (q *poison) load() error {
	data, err := readCapped(q.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &q.crashes)
	}
	if err != nil {
		q.crashes = nil
		return fmt.Errorf("read what the pipeline panicked over: %w", err)
	}
	return nil
}

// kills tells whether the pipeline must not try this once more.
func (q *poison) kills(position string) bool {
	return slices.ContainsFunc(q.crashes, func(c crash) bool { return c.Position == position && c.Count >= maxCrashes })
}

// blame notes that the pipeline panicked over position.
func (q *poison) blame(position string) error {
	i := slices.IndexFunc(q.crashes, func(c crash) bool { return c.Position == position })
	if i < 0 {
		i = len(q.crashes)
		q.crashes = append(q.crashes, crash{Position: position})
	}
	q.crashes[i].Count++
	q.crashes = q.crashes[max(0, len(q.crashes)-maxPoison):]
	data, err := json.Marshal(q.crashes)
	if err != nil {
		return fmt.Errorf("note what the pipeline panicked over: %w", err)
	}
	return replaceFile(q.path, data)
}

// try notes what is judged next. It reports false for what must not be.
func (p *pipeline) try(position string) bool {
	p.trying = position
	return !p.poison.kills(position)
}

// crashed is deferred by run. A panic passes through it; what it was over is noted.
func (p *pipeline) crashed(over *bool) {
	if *over || p.trying == "" {
		return
	}
	log := p.s.log.WithField("position", p.trying)
	if err := p.poison.blame(p.trying); err != nil {
		log = log.WithError(err)
	}
	log.Error("panic while judging")
}

// letter is a line that must not be judged.
type letter struct {
	position string
	text     []byte
}

// bury copies such lines to the dead letters. They stay in their files or logs
// anyway, so a copy that cannot be made holds nothing up.
func (p *pipeline) bury(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, buryWait)
	defer cancel()
	for _, l := range p.letters {
		p.s.quarantined.Add(1)
		log := p.s.log.WithField("position", l.position)
		err := p.s.deps.Bus.PublishDeadLetter(ctx, bus.DeadLetter{Module: Name, Host: p.s.deps.Host, ID: l.position, Reason: errPoison.Error(), Data: l.text})
		if err != nil {
			log = log.WithError(err)
		}
		log.Error("line put aside")
	}
	p.letters = nil
}

// settleRefused rejects the records that must not be judged; the bus moves them to
// the dead letters.
func (p *pipeline) settleRefused() {
	p.s.quarantined.Add(uint64(len(p.refused)))
	settle(p.refused, bus.Reject(errPoison))
	p.refused = nil
}
