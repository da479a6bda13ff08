package safety

import "time"

// maxAnswers bounds the series whose answers are remembered. Beyond it the one that was answered first is forgotten: its next revision is
// answered again, as far as cooldowns, caps and the ledger allow.
const maxAnswers = 10_000

// answer is what was done about a series of alerts.
type answer struct {
	Since time.Time `json:"since"`         // when the last step was done
	Ends  time.Time `json:"ends,omitzero"` // when the first of its steps ends; zero: none does by itself
	On    string    `json:"on,omitempty"`  // the target of that step
	Alert string    `json:"alert"`         // the last one that was answered
}

// NoteAnswer notes that a step about a series was done because of one of its alerts, on target, "" for a notification, until ends; zero if it does not end by itself.
func (s *State) NoteAnswer(series, alert, target string, ends, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.data.Answers[series]
	after := answer{Since: now.UTC(), Ends: ends.UTC(), On: target, Alert: alert}
	if ends.IsZero() {
		after.Ends = time.Time{}
	}
	if holds := known && (before.Ends.IsZero() || before.Ends.After(now)); holds && before.On != target && before.endsBefore(after) {
		after.Ends, after.On = before.Ends, before.On
	}
	if !known && len(s.data.Answers) >= maxAnswers {
		first := ""
		for other, a := range s.data.Answers {
			if first == "" || a.Since.Before(s.data.Answers[first].Since) {
				first = other
			}
		}
		delete(s.data.Answers, first)
	}
	s.data.Answers[series] = after
	s.version++
}

// endsBefore reports whether a ends first, or neither ends by itself and a acts on a target that may be released.
func (a answer) endsBefore(b answer) bool {
	if a.Ends.IsZero() {
		return b.Ends.IsZero() && a.On != ""
	}
	return b.Ends.IsZero() || a.Ends.Before(b.Ends)
}

// Answered reports whether a step about a series was done, because of another of its alerts than this, that holds at a time.
func (s *State) Answered(series, alert string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, known := s.data.Answers[series]
	return known && a.Alert != alert && (a.Ends.IsZero() || a.Ends.After(at))
}

// EndAnswers ends the answers that act on target: it was released, or its block gave way.
func (s *State) EndAnswers(target string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for series, a := range s.data.Answers {
		if a.On == target && (a.Ends.IsZero() || a.Ends.After(now)) {
			a.Ends = now.UTC()
			s.data.Answers[series] = a
			s.version++
		}
	}
}
