package logpipeline

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// saveRetry is when a checkpoint that records of the engine wait for is tried again.
const saveRetry = time.Second

// due tells whether it is time for a checkpoint.
func (p *pipeline) due() bool {
	wait := p.cfg.FlushInterval()
	switch {
	case p.frail && p.failed:
		wait = min(wait, saveRetry)
	case p.frail:
		wait = 0
	}
	return p.dirty && time.Since(p.saved) >= wait
}

// acknowledge answers the records of the engine whose alerts are stored. What they
// left behind, such as a count, has to be in a checkpoint first: unlike lines, they
// could not be read again. Until then no others come, for the handler waits.
func (p *pipeline) acknowledge() {
	if p.frail {
		return
	}
	settle(p.owed, nil)
	p.owed = nil
}

// save stores the place after all lines whose alerts are stored, and frees the
// spool up to there. A failure is tried again with the next round that is due.
func (p *pipeline) save() {
	p.saved = time.Now()
	state := p.tailer.State()
	if err := p.write(state); err != nil {
		p.unsaved(err)
		return
	}
	if p.failed {
		p.s.log.Info("checkpoint written again")
	}
	p.dirty, p.frail, p.failed = false, false, false
	p.s.checkpoints.Add(1)
	p.s.note(troubleWrite, "")
	p.server.DeleteConsumed(state)
}

// unsaved notes that no checkpoint could be written; the log tells it once.
func (p *pipeline) unsaved(err error) {
	p.s.checkpointErrors.Add(1)
	if !p.failed {
		p.s.log.WithError(err).Error("checkpoint not written")
	}
	p.failed = true
	p.s.note(troubleWrite, err.Error())
}

func (p *pipeline) write(state tail.State) error {
	counts, err := p.correlator.Snapshot()
	if err != nil {
		return fmt.Errorf("correlation counts: %w", err)
	}
	return p.store.save(checkpoint{
		LastSeq: p.pub.LastSeq(), Tail: state,
		Windows: p.windows.Windows(), Correlations: json.RawMessage(counts), Packets: p.handled.spans, Docker: p.logs.State(),
	})
}
