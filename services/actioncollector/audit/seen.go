package audit

// recentIDs is how many ids a trail remembers: many times what a consumer may have in
// flight (256). An older one is looked up in the files.
const recentIDs = 16 << 10

// seen remembers the newest ids of a trail and the highest stream sequence.
type seen struct {
	ids  map[string]struct{}
	ring []string
	next int
	high uint64
}

func newSeen() *seen {
	return &seen{ids: make(map[string]struct{}), ring: make([]string, 0, 64)}
}

func (s *seen) add(id string, streamSeq uint64) {
	s.high = max(s.high, streamSeq)
	if s.has(id) {
		return
	}
	if len(s.ring) < recentIDs {
		s.ring = append(s.ring, id)
	} else {
		delete(s.ids, s.ring[s.next])
		s.ring[s.next] = id
		s.next = (s.next + 1) % recentIDs
	}
	s.ids[id] = struct{}{}
}

func (s *seen) has(id string) bool {
	_, ok := s.ids[id]
	return ok
}
