package actioncollector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// VerbAccept is the verb of AcceptBreak; the bus allows it to operators only.
const VerbAccept = "accept"

// Accept is the request of VerbAccept. By is the name the operator gives: the bus knows that the client is
// an operator, not which person.
type Accept struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// AcceptBreak asks the collector of host to record that the problems of its trail are known.
func AcceptBreak(ctx context.Context, conn *bus.Conn, host string, a Accept) (audit.Acceptance, error) {
	var done audit.Acceptance
	err := conn.Request(ctx, bus.VerbSubject(Name, host, VerbAccept), a, &done)
	return done, err
}

// serve answers VerbAccept until stop is called.
func (s *Service) serve(ctx context.Context) (stop func(), err error) {
	return s.deps.Bus.Serve(context.WithoutCancel(ctx), bus.ServiceConfig{
		Module: Name, Host: s.deps.Host, Verbs: map[string]bus.Verb{
			VerbAccept: func(ctx context.Context, request []byte) (any, error) {
				var a Accept
				if err := json.Unmarshal(request, &a); err != nil {
					return nil, fmt.Errorf("not a request to accept: %w", err)
				}
				return s.accept(ctx, a)
			},
		},
	})
}

// accept opens the trail again and reads all of it, so that damage not found yet is declared, and then
// accepts all problems. Actions wait meanwhile.
func (s *Service) accept(ctx context.Context, a Accept) (audit.Acceptance, error) {
	if strings.TrimSpace(a.By) == "" || strings.TrimSpace(a.Reason) == "" {
		return audit.Acceptance{}, errors.New("say who accepts, and why")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return audit.Acceptance{}, errors.New("the collector is stopping: try again when it runs")
	}
	s.closeTrail()
	s.readAll = true
	if err := s.open(ctx); err != nil {
		return audit.Acceptance{}, err
	}
	done, err := s.trail.Accept(ctx, a.By, a.Reason)
	if err != nil {
		return audit.Acceptance{}, err
	}
	s.setHead(s.trail.Head())
	s.reasons.Clear(topicBroken)
	s.log.WithField("by", done.By).WithField("reason", done.Reason).WithField("audit_seq", done.Seq).
		WithField("problems", done.Problems).Warn("problems of the audit trail accepted")
	return done, nil
}
