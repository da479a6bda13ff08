package finding

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Waiting returns at most n of the alerts that the bus has not stored, those of no asset first, then by asset and age.
func (s *Store) Waiting(n int) []*event.Alert {
	out := slices.Clone(s.state.Outbox[:min(n, len(s.state.Outbox))])
	if s.waits == len(s.state.Outbox) {
		return out
	}
	for _, a := range s.Assets() {
		out = append(out, a.Outbox[:min(n-len(out), len(a.Outbox))]...)
	}
	return out
}

// WaitingCount returns how many alerts the bus has not stored.
func (s *Store) WaitingCount() int { return s.waits }

// LastSeq returns the sequence of the stream up to which every stored alert was taken from the outbox.
func (s *Store) LastSeq() uint64 { return s.state.LastSeq }

// Published takes alerts that the bus has stored from the outbox, by id. An error leaves some of them there, to be published again
// with the same ids.
func (s *Store) Published(ids map[string]bool, now time.Time) error {
	stored := func(a *event.Alert) bool { return ids[a.ID] }
	for _, a := range s.Assets() {
		if !slices.ContainsFunc(a.Outbox, stored) {
			continue
		}
		next := *a
		next.Outbox = slices.DeleteFunc(slices.Clone(a.Outbox), stored)
		if len(next.Outbox) == 0 {
			next.Findings = slices.Clone(a.Findings)
			for i := range next.Findings {
				next.Findings[i].published(now)
			}
		}
		if err := s.put(a, &next); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(s.state.Outbox, stored) {
		return nil
	}
	next := s.state
	next.Outbox = slices.DeleteFunc(slices.Clone(next.Outbox), stored)
	return s.putState(next)
}

// Reached saves the sequence of the stream up to which Published has taken every alert from the outbox.
func (s *Store) Reached(seq uint64) error {
	if seq == s.state.LastSeq {
		return nil
	}
	next := s.state
	next.LastSeq = seq
	return s.putState(next)
}

// Stale records that the database of that generation is out of date, with the alert that says so, unless it is recorded already.
func (s *Store) Stale(generation string, alert *event.Alert) error {
	if s.state.Stale == generation {
		return nil
	}
	next := s.state
	next.Stale, next.Outbox = generation, append(slices.Clone(next.Outbox), alert)
	return s.putState(next)
}

// Fresh records that the database is not out of date.
func (s *Store) Fresh() error {
	if s.state.Stale == "" {
		return nil
	}
	next := s.state
	next.Stale = ""
	return s.putState(next)
}

func (s *Store) putState(next state) error {
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if err := s.dir.Write(stateFile, data); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	s.waits += len(next.Outbox) - len(s.state.Outbox)
	s.state = next
	return nil
}
