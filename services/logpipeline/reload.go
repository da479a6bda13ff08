package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rulesRetry is how often rules that are absent are looked for.
const rulesRetry = 2 * time.Second

// change is a configuration that was found good and waits to be taken up.
type change struct {
	cfg  Config
	book *rulebook
}

// PrepareReload compiles the rules of cfg, which must be a Config, and checks the
// rest of it. It refuses where New would go on with less: a reload that loses a
// rule is none. commit never blocks; the pipeline takes the change up between two
// batches, and no line is lost by it.
func (s *Service) PrepareReload(_ context.Context, cfg any) (commit func(), err error) {
	c, ok := cfg.(Config)
	if !ok {
		return nil, fmt.Errorf("log pipeline: %T is not its configuration", cfg)
	}
	book, err := loadRules(c.RulesPath)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(append(book.faults, tailConfig(c, "/", "").Validate(), s.syslogConfig(c).Validate())...); err != nil {
		return nil, err
	}
	return func() { s.pending.Store(&change{cfg: c, book: book}) }, nil
}

// takeUp puts a pending change in force. The counts of correlations that did not
// change are kept.
func (p *pipeline) takeUp() {
	next := p.s.pending.Swap(nil)
	if next == nil {
		return
	}
	p.cfg, p.dirty = next.cfg, true
	p.windows.SetSpan(p.cfg.DedupWindow())
	p.useRules(next.book)
	p.s.note(troubleRules, "")
	p.logs.SetMaxLine(p.cfg.MaxLineBytes)
	p.logs.Switch(p.cfg.Docker())
	if err := errors.Join(p.listen(), p.tailer.Reload(p.cfg.watched(), p.cfg.MaxLineBytes)); err != nil {
		p.s.log.WithError(err).Error("reload not complete")
		p.s.note(troubleReload, err.Error())
	} else {
		p.s.note(troubleReload, "")
	}
	p.s.note(troubleStorage, storageTrouble(p.cfg.Storage))
	p.s.use(p.cfg, p.book)
	p.s.log.WithField("rules", p.book.count()).Info("configuration reloaded")
}

// ruled waits with w in hand while there are no rules to judge it by: what is behind
// it waits in its files. It reports false if ctx ends first.
func (p *pipeline) ruled(ctx context.Context, w work) bool {
	for p.seekRules(); p.book.absent && w.size() > 0; p.seekRules() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(rulesRetry / 10):
			p.takeUp()
		}
	}
	return true
}

// seekRules looks, from time to time, for rules that could not be read.
func (p *pipeline) seekRules() {
	if !p.book.absent || time.Since(p.sought) < rulesRetry {
		return
	}
	p.sought = time.Now()
	book, err := loadRules(p.cfg.RulesPath)
	if err != nil {
		p.s.note(troubleRules, err.Error())
		return
	}
	p.s.note(troubleRules, "")
	p.useRules(book)
	p.s.use(p.cfg, p.book)
	p.s.log.WithField("rules", book.count()).Info("rules loaded")
}

func (p *pipeline) useRules(book *rulebook) {
	fresh := book.set.NewCorrelator()
	counts, err := p.correlator.Snapshot()
	if err == nil {
		err = fresh.Restore(counts)
	}
	if err != nil {
		p.s.log.WithError(err).Warn("correlation counts not carried over")
	}
	p.book, p.correlator = book, fresh
}

// listen changes addresses and bounds in place.
func (p *pipeline) listen() error {
	to := p.s.syslogConfig(p.cfg)
	return errors.Join(p.server.Rebind(to.UDP, to.TCP), p.server.SetLimits(to.MaxBytes, to.MaxMessage))
}

// use makes a change known to Health.
func (s *Service) use(cfg Config, book *rulebook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.book = cfg, book
}
