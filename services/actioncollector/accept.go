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

// Accept is the request of VerbAccept.
type Accept struct {
	Reason string `json:"reason"`
}

// AcceptBreak asks the collector of host to record that the problems of its trail are known.
func AcceptBreak(ctx context.Context, conn *bus.Conn, host string, a Accept) (audit.Acceptance, error) {
	var done audit.Acceptance
	err := conn.Operate(ctx, Name, host, VerbAccept, a, &done)
	return done, err
}

// serve answers VerbAccept until stop is called.
func (s *Service) serve(ctx context.Context) (stop func(), err error) {
	return s.deps.Bus.Serve(context.WithoutCancel(ctx), bus.ServiceConfig{
		Module: Name, Host: s.deps.Host, Acts: map[string]bus.Act{
			VerbAccept: func(ctx context.Context, by string, request []byte) (any, error) {
				var a Accept
				if err := json.Unmarshal(request, &a); err != nil {
					return nil, fmt.Errorf("not a request to accept: %w", err)
				}
				return s.accept(ctx, bus.OperatorName(by, s.deps.Host), a.Reason)
			},
		},
	})
}

// accept opens the trail again and reads all of it, so that damage not found yet is declared, and then
// accepts all problems. Actions wait meanwhile.
func (s *Service) accept(ctx context.Context, by, reason string) (audit.Acceptance, error) {
	if strings.TrimSpace(reason) == "" {
		return audit.Acceptance{}, errors.New("say why it is accepted")
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
	done, err := s.trail.Accept(ctx, by, reason)
	if err != nil {
		return audit.Acceptance{}, err
	}
	s.setHead(s.trail.Head())
	s.reasons.Clear(topicBroken)
	s.log.WithField("by", done.By).WithField("reason", done.Reason).WithField("audit_seq", done.Seq).
		WithField("problems", done.Problems).Warn("problems of the audit trail accepted")
	return done, nil
}
