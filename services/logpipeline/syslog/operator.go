package syslog

import "time"

// Sent is a message that an operator sends.
type Sent struct {
	Text      []byte `json:"text"`
	Truncated bool   `json:"truncated,omitempty"` // Text is the beginning of a longer message
}

// Take spools messages of the operator called name, all or none, as transport Operator. When it returns nil they survive the end of this
// process. The error is ErrFull, or that of the disk: both may pass. It may be called concurrently.
func (s *Server) Take(name string, messages []Sent) error {
	limit := s.limits.Load().MaxMessage
	var records []byte
	now := time.Now()
	for _, m := range messages {
		r := Record{Time: now, Transport: Operator, Name: name, Message: m.Text[:min(len(m.Text), limit)], Truncated: m.Truncated || len(m.Text) > limit}
		if r.Truncated {
			s.counters.truncated()
		}
		records = appendRecord(records, r)
	}
	if err := s.spool.append(othersOf(Operator), records); err != nil {
		return err
	}
	s.counters.update(func(st *Stats) { st.Received[Operator] += int64(len(messages)) })
	return nil
}
