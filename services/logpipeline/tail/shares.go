package tail

import (
	"cmp"
	"fmt"
	"slices"
)

// turns are paths that share a place in the order of reading. A path that root owns or the operator has named has one of its own; all
// others of one user have one: whoever makes ten thousand files in a watched folder has as much as one file.
type turns struct {
	paths []*watchedPath
	last  int // index of the path read last
}

// makeTurns shares out the places among t.order, those before go on where they are.
func (t *Tailer) makeTurns() {
	last := map[uint32]int{}
	for _, place := range t.turns {
		if p := place.paths[0]; p.shares() {
			last[p.owner] = place.last
		}
	}
	t.turns = t.turns[:0:0]
	byOwner := map[uint32]*turns{}
	for _, p := range t.order {
		place := byOwner[p.owner]
		if place == nil || !p.shares() {
			place = &turns{}
			t.turns = append(t.turns, place)
		}
		if p.shares() {
			place.last = last[p.owner]
			byOwner[p.owner] = place
		}
		place.paths = append(place.paths, p)
	}
}

// shares reports whether p shares its place with the other paths of its owner.
func (p *watchedPath) shares() bool { return p.owner != 0 && !p.literal && !p.spool }

// next returns the next path, after the last one read, for which ready says so; nil if there is none.
func (s *turns) next(ready func(*watchedPath) bool) *watchedPath {
	for range s.paths {
		s.last = (s.last + 1) % len(s.paths)
		if p := s.paths[s.last]; ready(p) {
			return p
		}
	}
	return nil
}

// inTurns returns t.order with the paths of each place in turn.
func (t *Tailer) inTurns() []*watchedPath {
	all := make([]*watchedPath, 0, len(t.order))
	for i := 0; len(all) < len(t.order); i++ {
		for _, place := range t.turns {
			if i < len(place.paths) {
				all = append(all, place.paths[i])
			}
		}
	}
	return all
}

// countPaths counts the paths that patterns have matched, by owner.
func (t *Tailer) countPaths() {
	t.perOwner = map[uint32]int{}
	for _, p := range t.paths {
		if !p.spool && !p.literal {
			t.perOwner[p.owner]++
		}
	}
}

// admit reports whether there is room for p. Beyond Config.MaxFiles one of the user with the most gives way to that of a user with fewer.
func (t *Tailer) admit(p *watchedPath) bool {
	if len(t.paths) >= t.cfg.MaxFiles && !t.makeRoom(p.owner) {
		t.leftOut[p.owner]++
		return false
	}
	t.perOwner[p.owner]++
	return true
}

// makeRoom stops watching a path of the user with the most, of which no line is being processed, for one of owner.
func (t *Tailer) makeRoom(owner uint32) bool {
	var most uint32
	for other, n := range t.perOwner {
		if n > t.perOwner[most] || n == t.perOwner[most] && other > most {
			most = other
		}
	}
	if t.perOwner[most] <= t.perOwner[owner]+1 {
		return false
	}
	for _, p := range slices.Backward(t.order) {
		if p.owner == most && !p.spool && !p.literal && p.taken == 0 && t.paths[p.path] == p {
			t.forgetPath(p)
			t.perOwner[most]--
			t.leftOut[most]++
			t.refused[RefusedShare]++
			return true
		}
	}
	return false
}

// leftOutReason returns a sentence about paths for which there is no room, "" if there are none.
func leftOutReason(leftOut map[uint32]int64, maxFiles int) string {
	var all int64
	owners := make([]uint32, 0, len(leftOut))
	for owner, n := range leftOut {
		all += n
		owners = append(owners, owner)
	}
	if all == 0 {
		return ""
	}
	most := slices.MaxFunc(owners, func(a, b uint32) int { return cmp.Or(cmp.Compare(leftOut[a], leftOut[b]), cmp.Compare(b, a)) })
	return fmt.Sprintf("the patterns match more than %d files: %d are not followed, the most of user %d (%d)", maxFiles, all, most, leftOut[most])
}
