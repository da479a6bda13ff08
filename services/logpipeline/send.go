package logpipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

// VerbSend is the act of operators that takes a SendRequest and answers with a SendReply once its lines are on the disk.
const VerbSend = "send"

const (
	// MaxSentLine is how many bytes of a line one request carries: the rest is cut off, which SentLine.Truncated says.
	MaxSentLine = 32 << 10
	// MaxSentBytes bounds the texts of one request together, in bytes.
	MaxSentBytes = 40 << 10
	// MaxSentLines bounds the lines of one request.
	MaxSentLines = 1000
)

// SendRequest is lines, in their order.
type SendRequest struct {
	Lines []SentLine `json:"lines"`
}

// SentLine is a line without its end.
type SentLine = syslog.Sent

// SendReply says how many lines were taken: all or none.
type SendReply struct {
	Taken int  `json:"taken"`
	Full  bool `json:"full,omitempty"` // there is no room now: ask again
}

// sendVerb answers VerbSend.
func (s *Service) sendVerb(_ context.Context, token string, request []byte) (any, error) {
	var r SendRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, fmt.Errorf("request to take lines: %w", err)
	}
	if len(r.Lines) > MaxSentLines {
		return nil, fmt.Errorf("%d lines in one request: at most %d", len(r.Lines), MaxSentLines)
	}
	s.mu.Lock()
	in := s.sources
	s.mu.Unlock()
	if in == nil {
		return nil, errors.New("the log pipeline has not started yet: try again")
	}
	err := in.syslog.Take(bus.OperatorName(token, s.deps.Host), r.Lines)
	if errors.Is(err, syslog.ErrFull) {
		return SendReply{Full: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the lines cannot be written: %w", err)
	}
	return SendReply{Taken: len(r.Lines)}, nil
}
