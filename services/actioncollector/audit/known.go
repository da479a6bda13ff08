package audit

import (
	"bytes"
	"context"
	"slices"
)

// Known reports whether the action id, at streamSeq of its stream, is in the trail. It answers from memory
// for a new sequence and for the newest 16,384 ids, otherwise it reads the files.
func (t *Trail) Known(ctx context.Context, id string, streamSeq uint64) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids.has(id) {
		return true, nil
	}
	if streamSeq > t.ids.highest {
		return false, nil
	}
	found, err := findAction(ctx, t.dir, id)
	if err == nil && !found {
		// The stream was created anew: its sequences are low and will rise again.
		t.ids.highest = streamSeq
	}
	return found, err
}

// findAction looks for an action record of id, in the newest segment first.
func findAction(ctx context.Context, dir, id string) (bool, error) {
	names, err := segmentNames(dir)
	if err != nil {
		return false, err
	}
	needle := append(append([]byte(`"id":`), quote(id)...), `,"stream_seq":`...)
	for _, name := range slices.Backward(names) {
		found := false
		_, err := readSegmentFile(ctx, dir, name, func(_ position, line []byte) {
			if found || !bytes.Contains(line, needle) {
				return
			}
			r, err := decodeLine(line)
			found = err == nil && r.Kind == Action && r.ID == id
		})
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// maxRecentIDs is how many ids a trail keeps in memory: many times what a consumer may have in flight (256).
const maxRecentIDs = 16 << 10

// recentIDs holds the newest ids of a trail and the highest stream sequence.
type recentIDs struct {
	ids     map[string]struct{}
	ring    []string
	next    int
	highest uint64
}

func newRecentIDs() *recentIDs { return &recentIDs{ids: make(map[string]struct{})} }

func (t *Trail) remember(r Record) {
	if r.Kind == Action {
		t.ids.add(r.ID, r.StreamSeq)
	}
}

func (s *recentIDs) add(id string, streamSeq uint64) {
	s.highest = max(s.highest, streamSeq)
	if s.has(id) {
		return
	}
	if len(s.ring) < maxRecentIDs {
		s.ring = append(s.ring, id)
	} else {
		delete(s.ids, s.ring[s.next])
		s.ring[s.next] = id
		s.next = (s.next + 1) % maxRecentIDs
	}
	s.ids[id] = struct{}{}
}

func (s *recentIDs) has(id string) bool {
	_, ok := s.ids[id]
	return ok
}
