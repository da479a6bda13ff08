package safety

import (
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	serverTime  = 24 * time.Hour
	maxServers  = 1024 // places; beyond it the one is forgotten about which nothing was noted for the longest time
	serverProof = 3    // sources, and paths, that all had success
)

// answered is what a server answered with success in one place, although a rule takes it for the work of an attacker.
type answered struct {
	Sources []string  `json:"sources"` // hashed; each had success with another path
	Paths   []string  `json:"paths"`   // hashed
	At      time.Time `json:"at"`
}

// Answer is one that a server gave with success: to a source that asked for a path in a place, such as a method and a directory of one
// server. The texts may be of any length.
type Answer struct{ Place, Source, Path string }

func (a Answer) hashed() Answer {
	return Answer{event.ID(a.Place), event.ID(a.Source), event.ID(a.Path)}
}

// extends reports whether x is another source's success with another path.
func (a *answered) extends(x Answer) bool {
	return len(a.Sources) < serverProof && !slices.Contains(a.Sources, x.Source) && !slices.Contains(a.Paths, x.Path)
}

// AnswersAll reports whether the server, which just gave an answer, answers anything in its place so: three sources had success there within a
// day, each with another path.
func (s *Signs) AnswersAll(x Answer, now time.Time) bool {
	x = x.hashed()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.data.Servers[x.Place]
	if a == nil || now.Sub(a.At) > serverTime {
		return false
	}
	n := len(a.Sources)
	if a.extends(x) {
		n++
	}
	return n >= serverProof
}

// NoteServer remembers an answer for a day.
func (s *Signs) NoteServer(x Answer, now time.Time) {
	x = x.hashed()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.data.Servers[x.Place]
	if a == nil || now.Sub(a.At) > serverTime {
		if a == nil && len(s.data.Servers) >= maxServers {
			places := slices.Collect(maps.Keys(s.data.Servers))
			delete(s.data.Servers, slices.MinFunc(places, func(p, q string) int { return s.data.Servers[p].At.Compare(s.data.Servers[q].At) }))
		}
		a = &answered{}
		s.data.Servers[x.Place] = a
	}
	if a.extends(x) {
		a.Sources, a.Paths = append(a.Sources, x.Source), append(a.Paths, x.Path)
	}
	a.At = now.UTC()
	s.version++
}
