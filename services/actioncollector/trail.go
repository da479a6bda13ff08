package actioncollector

import (
	"context"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// maintainTrail opens the trail while it is not open, also when no action comes, checks once what opening it
// did not read, and removes segments that are older than the retention.
func (s *Service) maintainTrail(ctx context.Context) error {
	tick := time.NewTicker(openInterval)
	defer tick.Stop()
	for checked := false; ; {
		checked = checked || s.checkTrail(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.reopen(ctx)
			s.pruneTrail(time.Now())
		}
	}
}

// checkTrail reads the whole trail while actions are written. If that finds damage, the trail is opened
// again to declare it. It reports whether the check was done.
func (s *Service) checkTrail(ctx context.Context) (done bool) {
	s.mu.Lock()
	trail := s.trail
	s.mu.Unlock()
	if trail == nil {
		return false
	}
	err := trail.Check(ctx)
	if err == nil || ctx.Err() != nil {
		return true
	}
	s.log.WithError(err).WithField("path", s.cfg.AuditPath).Error("check of the audit trail failed, opening it again")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeTrail()
	s.readAll = true
	_ = s.open(ctx) // tried again; the reason is in the health
	return true
}

// pruneTrail removes the segments that are older than the retention. First the record that the trail will
// begin with must be in the stored head: a trail that begins later than it says is broken. Until then
// pruneTrail does nothing but have it stored.
func (s *Service) pruneTrail(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.AuditRetentionDays == 0 || s.trail == nil {
		return
	}
	first := s.trail.Prunable(now.Add(-s.cfg.AuditRetention()))
	if first == 0 {
		return
	}
	if s.head.First < first {
		s.head.First = first
		s.setHead(s.head)
	}
	if s.heads.storedFirst.Load() < first {
		return
	}
	err := s.trail.Prune(first)
	s.setHead(s.trail.Head())
	if err != nil {
		s.log.WithError(err).WithField("path", s.cfg.AuditPath).Error("cannot remove old segments of the audit trail")
		s.closeTrail() // opening it completes a removal
		return
	}
	s.log.WithField("first", first).Info("old segments of the audit trail removed")
}

func (s *Service) reopen(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.open(ctx) // tried again; the reason is in the health
}

// open opens the trail if it is not open. s.mu is held.
func (s *Service) open(ctx context.Context) error {
	if s.trail != nil {
		return nil
	}
	trail, err := audit.Open(ctx, audit.Config{Dir: s.cfg.AuditPath, Head: s.head, ReadAll: s.readAll})
	if err != nil {
		if ctx.Err() == nil && s.reasons.Set(topicOpen, err.Error()) {
			s.log.WithError(err).WithField("path", s.cfg.AuditPath).Error("cannot open audit trail, actions wait")
		}
		return err
	}
	s.reasons.Clear(topicOpen)
	s.trail, s.readAll = trail, false
	s.reportFound(trail.Found())
	s.setHead(trail.Head())
	return nil
}

// reportFound logs what opening the trail found, and reports a break in the health.
func (s *Service) reportFound(found audit.Found) {
	log := s.log.WithField("path", s.cfg.AuditPath)
	log.WithField("records", found.Records).WithField("head", s.trail.Head().Seq).Info("audit trail open")
	if r := found.Repaired; r != nil {
		s.repairs.Add(1)
		log.WithField("audit_seq", r.Seq).WithField("bytes", r.Bytes).WithField("aside", r.Aside).
			Warn("unfinished audit record cut off")
	}
	if p := found.Break; p != nil {
		s.breaks.Add(1)
		log.WithField("fault", string(p.Fault)).WithField("file", p.File).WithField("line", p.Line).
			WithField("audit_seq", p.Seq).WithField("what", p.What).
			Error("audit trail broken")
		s.reasons.Set(topicBroken, "the audit trail was broken at "+p.String()+"; see ironpost audit verify")
		return
	}
	if at := found.LastBreak; !at.IsZero() && time.Since(at) < breakAge {
		s.reasons.Set(topicBroken, fmt.Sprintf("the audit trail was found broken on %s; see ironpost audit verify", at.UTC().Format(time.RFC3339)))
	}
}

// closeTrail closes the trail; open opens it again. s.mu is held.
func (s *Service) closeTrail() {
	if s.trail == nil {
		return
	}
	if err := s.trail.Close(); err != nil {
		s.log.WithError(err).Warn("audit trail not closed cleanly")
	}
	s.trail = nil
}

// setHead records the newest head and has it stored. s.mu is held.
func (s *Service) setHead(head audit.Head) {
	head.First = max(head.First, s.head.First) // it may be stored ahead of a prune
	s.head = head
	s.headSeq.Store(head.Seq)
	s.heads.put(head)
}
