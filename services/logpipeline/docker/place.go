package docker

import (
	"maps"
	"time"
)

const (
	stateVersion = 1
	// slack is how much later than another line of its container a line may be written
	// to the log than its time says.
	slack = 30 * time.Second
)

// State is where a Source stands. It marshals to JSON.
type State struct {
	Version int `json:"version"`
	// Begun is when containers' logs began to be followed; older lines are not ours.
	Begun time.Time `json:"begun"`
	// Places holds how far each container was read, by id.
	Places map[string]Place `json:"places"`
}

func (s State) clone() State {
	places := make(map[string]Place, len(s.Places))
	for id, p := range s.Places {
		places[id] = p.clone()
	}
	s.Places = places
	return s
}

// Place is how far each stream of one container was read, by stdout and stderr.
type Place map[string]Mark

// Mark is a line of one stream. Within a stream the engine's times only grow, unless
// its clock is set back.
type Mark struct {
	Time   int64 `json:"time"`             // nanoseconds since 1970, the highest so far
	Count  int   `json:"count"`            // lines with this time
	Behind int   `json:"behind,omitempty"` // lines after those with a lower time
	Lowest int64 `json:"lowest,omitempty"` // their lowest time, if there are any
}

// after returns m after a line of time at.
func (m Mark) after(at int64) Mark {
	switch {
	case at > m.Time:
		return Mark{Time: at, Count: 1}
	case at == m.Time && m.Behind == 0:
		m.Count++
		return m
	case m.Behind == 0 || at < m.Lowest:
		m.Lowest = at
	}
	m.Behind++
	return m
}

// since returns from when on the log must be read to miss nothing after p; zero if
// nothing was read yet. It is a little before the place, for the other stream and for
// a clock that was set back a little while nobody read.
func (p Place) since() time.Time {
	if len(p) == 0 {
		return time.Time{}
	}
	var highest int64
	for _, m := range p {
		highest = max(highest, m.Time)
	}
	from := highest - int64(slack)
	for _, m := range p {
		if m.Behind > 0 {
			from = min(from, m.Lowest)
		}
	}
	return time.Unix(0, from).UTC()
}

// replay tells which lines of a stream, read from Place.since on, were read before.
type replay struct {
	mark            Mark
	counted, behind int
	over            bool
}

// seen reports whether the next line, of time at, was read before.
func (r *replay) seen(at int64) bool {
	switch {
	case r.over:
		return false
	case at > r.mark.Time:
	case r.counted < r.mark.Count:
		if at == r.mark.Time {
			r.counted++
		}
		return true
	case r.behind < r.mark.Behind:
		r.behind++
		return true
	}
	r.over = true
	return false
}

func (p Place) clone() Place {
	if p == nil {
		return Place{}
	}
	return maps.Clone(p)
}
