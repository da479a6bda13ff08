package containerguard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
)

// VerbApprove is the act of operators that answers a request of a policy. Its answer is an ApproveReply.
const VerbApprove = "approve"

// ApproveRequest answers the request whose id begins with ID, of at least 4 digits: what was asked is done, or with Deny
// is not.
type ApproveRequest struct {
	ID   string `json:"id"`
	Deny bool   `json:"deny,omitempty"`
}

// ApproveReply is what was asked, and with State how far it has come, as in Quarantined. Pending means that it is not done yet, with the reason.
type ApproveReply struct {
	ID        string `json:"id"`
	Policy    string `json:"policy"`
	Kind      string `json:"kind"`
	Container string `json:"container"`
	Name      string `json:"name"`
	AlertID   string `json:"alert_id"`
	Denied    bool   `json:"denied,omitempty"`
	State     string `json:"state,omitempty"`
	Pending   bool   `json:"pending,omitempty"`
	Error     string `json:"error,omitempty"`
}

var errNoRequest = errors.New("no such request waits; see ironpost quarantine waiting")

// approveVerb answers VerbApprove. What an operator approves is kept until it is done, also over a restart. If the container or the evidence
// is not what it was when the operator was asked, nothing is done, and there is another request.
func (s *Service) approveVerb(ctx context.Context, token string, body []byte) (any, error) {
	var req ApproveRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	run := s.run.Load()
	by := bus.OperatorName(token, s.deps.Host)
	w, st, err := run.waiting.request(req.ID, time.Now())
	if err != nil {
		return nil, err
	}
	reply := ApproveReply{
		ID: st.Approval, Policy: st.Policy, Kind: string(st.Kind), Container: st.Container.ID, Name: st.Container.Name, AlertID: w.Alert.ID, Denied: req.Deny,
	}
	if req.Deny {
		ended := run.waiting.removeSteps(func(other waitingStep) bool { return other.Approval == st.Approval })
		s.reportUnanswered(ctx, run, ended, "denied by "+by)
		s.saveState(run)
		return reply, nil
	}
	if w = run.waiting.approve(w, st.Approval, by); w == nil {
		return nil, errNoRequest
	}
	run.waiting.removeSteps(func(other waitingStep) bool { // nobody needs to be asked about the same for another reason
		return other.Need == needApproval && other.Approval != st.Approval && other.Policy == st.Policy && other.Kind == st.Kind && other.Target == st.Target
	})
	s.saveState(run)
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	if _, err := s.answerAgain(ctx, w.Alert, w); err != nil {
		reply.Error = err.Error()
	}
	e, held := run.quarantine.Get(st.Container.ID)
	switch {
	case held && satisfies(e, st.Kind):
		reply.State, reply.Error = string(e.State), cmp.Or(reply.Error, e.Error)
	case reply.Error == "":
		reply.Error = "it was not done: the container or the evidence is another by now, or a limit refuses it; see ironpost actions and ironpost quarantine waiting"
	}
	reply.Pending = reply.State == ""
	return reply, nil
}

// request returns the step that waits for approval under an id that begins with prefix, and its answer.
func (l *waitingList) request(prefix string, now time.Time) (found *waitingAnswer, st waitingStep, err error) {
	if len(prefix) < minIDPrefix {
		return nil, st, fmt.Errorf("%q is too short for the id of a request: give %d digits or more", prefix, minIDPrefix)
	}
	isAsked := func(s waitingStep) bool { return s.Approval != "" && strings.HasPrefix(s.Approval, prefix) }
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.byKey {
		for _, s := range w.Steps {
			if !isAsked(s) || !s.Until.After(now) {
				continue
			}
			if found != nil && s.Approval != st.Approval {
				return nil, st, fmt.Errorf("more than one request has an id that begins with %q: give more digits", prefix)
			}
			found, st = w, s
		}
	}
	if found == nil {
		return nil, st, fmt.Errorf("%q: %w", prefix, errNoRequest)
	}
	return found, st, nil
}

// approve notes in w who approved the request with id, and returns what is in the list then, nil if w is gone.
func (l *waitingList) approve(w *waitingAnswer, id, by string) *waitingAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey[w.key()] != w {
		return nil
	}
	approved := *w
	approved.Steps = maps.Clone(w.Steps)
	for key, s := range approved.Steps {
		if s.Approval == id {
			s.ApprovedBy = by
			approved.Steps[key] = s
		}
	}
	l.drop(w.key())
	l.byKey[w.key()] = &approved
	return &approved
}
