package actioncollector

import (
	"context"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// reopen opens the trail if it is not open.
func (s *Service) reopen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open(ctx)
}

// open is called with mu held.
func (s *Service) open(ctx context.Context) error {
	if s.trail != nil {
		return nil
	}
	trail, err := audit.Open(ctx, audit.Config{Dir: s.cfg.AuditPath, Head: s.head})
	if err != nil {
		s.health.set(reasonOpen, err.Error())
		return err
	}
	s.health.clear(reasonOpen)
	s.trail = trail
	s.tell(trail.Found())
	s.moved(trail.Head())
	return nil
}

// tell says what was found in the trail.
func (s *Service) tell(found audit.Found) {
	log := s.log.WithField("path", s.cfg.AuditPath)
	log.WithField("records", found.Records).WithField("head", s.trail.Head().Seq).Info("audit trail open")
	if r := found.Repaired; r != nil {
		log.WithField("audit_seq", r.Seq).WithField("bytes", r.Bytes).WithField("aside", r.Aside).
			Warn("unfinished audit record cut off")
		s.metrics.repairs.Inc()
		s.health.count(func(c *counters) { c.repairs++ })
	}
	if p := found.Break; p != nil {
		log.WithField("fault", string(p.Fault)).WithField("file", p.File).WithField("line", p.Line).
			WithField("audit_seq", p.Seq).WithField("what", p.What).
			Error("audit trail broken")
		s.metrics.breaks.Inc()
		s.health.count(func(c *counters) { c.breaks++ })
		s.health.set(reasonBroken, "the audit trail was broken at "+p.String()+"; see ironpost audit verify")
		return
	}
	if at := found.LastBreak; !at.IsZero() && time.Since(at) < rememberBreak {
		s.health.set(reasonBroken, fmt.Sprintf("the audit trail was found broken on %s; see ironpost audit verify", at.UTC().Format(time.RFC3339)))
	}
}

// drop closes the trail, to be opened anew. It is called with mu held.
func (s *Service) drop() {
	if s.trail == nil {
		return
	}
	if err := s.trail.Close(); err != nil {
		s.log.WithError(err).Warn("close audit trail")
	}
	s.trail = nil
}

func (s *Service) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trail == nil {
		return nil
	}
	err := s.trail.Close()
	s.trail = nil
	return err
}

// recheck tries a trail that could not be opened again, also while no action comes.
func (s *Service) recheck(ctx context.Context) error {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = s.reopen(ctx) // the reason is in the health
		}
	}
}
