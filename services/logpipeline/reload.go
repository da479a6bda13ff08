package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rulesRetry is the interval at which missing rules are looked for.
const rulesRetry = 2 * time.Second

// reload is a valid configuration that waits to be applied.
type reload struct {
	cfg     Config
	rules   *ruleSet
	formats *formatSet
}

// PrepareReload compiles the rules of cfg, which must be a Config, and checks the rest of it. Unlike New it
// refuses rules with an invalid file: a reload must not lose a rule. commit never blocks; the pipeline applies
// the change between two chunks, and no line is lost by it.
func (s *Service) PrepareReload(_ context.Context, cfg any) (commit func(), err error) {
	c, ok := cfg.(Config)
	if !ok {
		return nil, fmt.Errorf("log pipeline: %T is not its configuration", cfg)
	}
	rules, err := loadRules(c)
	if err != nil {
		return nil, err
	}
	formats, err := loadFormats(c)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(append(rules.problems, formats.problems.Err(), tailConfig(c, "/", "").Validate(), s.syslogConfig(c).Validate())...); err != nil {
		return nil, err
	}
	return func() { s.pendingReload.Store(&reload{cfg: c, rules: rules, formats: formats}) }, nil
}

// applyReload applies a pending reload when no chunk is in flight: those were matched by the rules before it.
func (p *pipeline) applyReload() {
	if p.inFlight > 0 {
		return
	}
	next := p.s.pendingReload.Swap(nil)
	if next == nil {
		return
	}
	p.cfg, p.inputs, p.commits.dirty = next.cfg, newInputs(next.cfg, next.formats.Set), true
	p.series.SetSpan(p.cfg.DedupWindow())
	p.rows.reload(p.cfg)
	in := p.sources
	in.docker.SetMaxLine(p.cfg.MaxLineBytes)
	in.docker.SetEnabled(p.cfg.Docker())
	to := p.s.syslogConfig(p.cfg)
	err := errors.Join(in.syslog.Rebind(to), in.syslog.SetLimits(to), p.applyChoice())
	if err != nil {
		p.s.log.WithError(err).Error("reload not complete")
		p.s.reasons.Set(topicReload, err.Error())
	} else {
		p.s.reasons.Clear(topicReload)
	}
	change := changeOf(p.matcher.rules, next.rules)
	p.useRules(next.rules)
	p.s.mu.Lock()
	p.s.formats = next.formats
	p.s.mu.Unlock()
	p.s.reasons.Clear(topicFormats)
	p.s.reasons.Set(topicStorage, storageReason(p.cfg.Storage))
	p.s.log.WithFields(change.fields()).WithField("rules", next.rules.count()).Info("configuration reloaded")
}

// waitForRules waits while the rules are missing and there are chunks: they are not processed without rules, and
// the input after them stays in its sources. It returns false if ctx ends first.
func (p *pipeline) waitForRules(ctx context.Context, chunks []*chunk) bool {
	for p.lookForRules(); p.matcher.rules.missing && len(chunks) > 0; p.lookForRules() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(rulesRetry / 10):
			p.applyReload()
		}
	}
	return true
}

// lookForRules tries to load missing rules, at most once per rulesRetry.
func (p *pipeline) lookForRules() {
	if !p.matcher.rules.missing || time.Since(p.rulesTried) < rulesRetry {
		return
	}
	p.rulesTried = time.Now()
	rules, err := p.s.loadTrustedRules(p.cfg)
	if err != nil {
		p.s.reasons.Set(topicRules, err.Error())
		return
	}
	p.useRules(rules)
	p.s.log.WithField("rules", rules.count()).Info("rules loaded")
}

// loadTrustedRules is loadRules, and an error if a user who is not trusted can change them.
func (s *Service) loadTrustedRules(c Config) (*ruleSet, error) {
	if c.RulesPath != "" {
		if err := s.deps.Trusted.CheckTree(c.RulesPath, ".yml", ".yaml"); err != nil {
			return nil, fmt.Errorf("rules_path: %w", err)
		}
	}
	return loadRules(c)
}

// useRules puts rules and p.cfg in force.
func (p *pipeline) useRules(rules *ruleSet) {
	if err := p.matcher.use(rules); err != nil {
		p.s.log.WithError(err).Warn("correlation counts not carried over")
	}
	p.s.reasons.Clear(topicRules)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.cfg, p.s.rules = p.cfg, rules
}
