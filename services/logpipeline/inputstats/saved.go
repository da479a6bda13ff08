package inputstats

import (
	"time"
)

// Saved is an input in a checkpoint.
type Saved struct {
	Input
	Down   time.Duration `json:"down,omitempty"`
	Away   time.Duration `json:"away,omitempty"`
	Losses []loss        `json:"losses,omitempty"`
}

// Save returns the inputs for Restore.
func (t *Table) Save() []Saved {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Saved, 0, len(t.inputs))
	for _, in := range t.sorted() {
		s := Saved{Input: in.Input, Down: in.down, Away: in.away, Losses: append([]loss(nil), in.losses...)}
		s.Counts = in.Counts.clone()
		out = append(out, s)
	}
	return out
}

// Restore makes the table that which Save returned at saved. From then to now this program did not run: that is no silence of an input.
func (t *Table) Restore(list []Saved, saved, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	down := max(0, now.Sub(saved))
	t.inputs = map[ID]*input{}
	for _, s := range list[:min(len(list), MaxInputs+1)] {
		in := &input{Input: s.Input, down: s.Down, away: s.Away, losses: s.Losses}
		in.Counts = s.Counts.clone()
		if !in.Last.IsZero() {
			in.down += down
		}
		t.inputs[s.ID.bounded()] = in
	}
}
