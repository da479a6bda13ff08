package docker

import (
	"maps"
	"time"
)

const (
	stateVersion = 1
	// maxReorder is how much later a line may be written to the log than its time says, compared with other
	// lines of its container.
	maxReorder = 30 * time.Second
)

// State is how far the logs were taken. It marshals to JSON.
type State struct {
	Version int `json:"version"`
	// Begun is when the source was enabled; older lines are not read.
	Begun time.Time `json:"begun"`
	// Containers holds the position in each container's log, by id.
	Containers map[string]LogPosition `json:"places"`
}

func (s State) clone() State {
	containers := make(map[string]LogPosition, len(s.Containers))
	for id, p := range s.Containers {
		containers[id] = p.clone()
	}
	s.Containers = containers
	return s
}

// LogPosition is how far each stream of one container was read, by stdout and stderr.
type LogPosition map[string]StreamPosition

func (p LogPosition) clone() LogPosition {
	if p == nil {
		return LogPosition{}
	}
	return maps.Clone(p)
}

// StreamPosition identifies a line of one stream. Docker's times within a stream only grow, unless its clock
// is set back.
type StreamPosition struct {
	Time   int64 `json:"time"`             // nanoseconds since 1970, the highest so far
	Count  int   `json:"count"`            // lines with this time
	Behind int   `json:"behind,omitempty"` // lines after those with a lower time
	Lowest int64 `json:"lowest,omitempty"` // their lowest time, if there are any
}

// next returns the position after one more line, of the given time.
func (p StreamPosition) next(at int64) StreamPosition {
	switch {
	case at > p.Time:
		return StreamPosition{Time: at, Count: 1}
	case at == p.Time && p.Behind == 0:
		p.Count++
		return p
	case p.Behind == 0 || at < p.Lowest:
		p.Lowest = at
	}
	p.Behind++
	return p
}

// since returns from which time on the log must be read to miss nothing after p; zero if nothing was read
// yet. It is a little before p, because of the other stream and in case the clock was set back a little while
// nothing was read.
func (p LogPosition) since() time.Time {
	if len(p) == 0 {
		return time.Time{}
	}
	var highest int64
	for _, s := range p {
		highest = max(highest, s.Time)
	}
	from := highest - int64(maxReorder)
	for _, s := range p {
		if s.Behind > 0 {
			from = min(from, s.Lowest)
		}
	}
	return time.Unix(0, from).UTC()
}
