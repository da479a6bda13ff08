package inputstats

import (
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

// loss is what an input lost for one cause since its last alert.
type loss struct {
	Cause  string    `json:"cause"`
	Amount uint64    `json:"amount"`
	Last   time.Time `json:"last"`
}

// lose notes a loss for the next alert.
func (in *input) lose(cause string, n uint64, now time.Time) {
	i := slices.IndexFunc(in.losses, func(l loss) bool { return l.Cause == cause })
	if i < 0 {
		if len(in.losses) >= maxKeys {
			return // it is counted
		}
		i = len(in.losses)
		in.losses = append(in.losses, loss{Cause: cause})
	}
	in.losses[i].Amount, in.losses[i].Last = sum(in.losses[i].Amount, n), now
}

// Take returns what was lost of an input since its last alert, unless the newest loss of its cause is before from: the evidence of an alert
// whose rule looks back to from may have gaps there. What it returns it returns once.
func (t *Table) Take(id ID, from time.Time) []event.Incomplete {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.inputs[id.bounded()]
	if in == nil {
		return nil
	}
	var out []event.Incomplete
	in.losses = slices.DeleteFunc(in.losses, func(l loss) bool {
		if l.Last.Before(from) {
			return false
		}
		out = append(out, event.Incomplete{Counter: l.Cause, Amount: l.Amount})
		return true
	})
	slices.SortFunc(out, func(a, b event.Incomplete) int { return strings.Compare(a.Counter, b.Counter) })
	return out
}
