package inputstats

import (
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
)

const (
	// An input is quiet if it was silent for quietFactor times its longest silence so far, and is judged once it was active for quietHistory
	// times the shortest silence that counts, a day by default, which has a night in it, and brought quietLines.
	quietFactor  = 5
	quietHistory = 24
	quietLines   = 10

	unparsedSpan  = 10 * time.Minute // of lines that the share of unparsed ones is of
	unparsedLines = 100              // fewer say nothing
	unparsedShare = 50               // percent
)

// share counts lines, and those of no known format.
type share struct {
	Lines uint64 `json:"lines"`
	Plain uint64 `json:"plain"`
}

func (s share) percent() uint64 { return s.Plain * 100 / max(s.Lines, 1) }

// shares are of the last one to two unparsedSpans.
type shares struct {
	began       time.Time
	now, before share
}

func (s *shares) add(c Counts, now time.Time) {
	s.turn(now)
	s.now.Lines += c.Lines
	s.now.Plain += c.Unparsed
}

// turn begins new counts when unparsedSpan has passed.
func (s *shares) turn(now time.Time) {
	switch passed := now.Sub(s.began); {
	case passed >= 2*unparsedSpan:
		s.before, s.now, s.began = share{}, share{}, now
	case passed >= unparsedSpan:
		s.before, s.now, s.began = s.now, share{}, now
	}
}

func (s *shares) total() share {
	return share{s.now.Lines + s.before.Lines, s.now.Plain + s.before.Plain}
}

// silence returns for how long this program has seen the input bring nothing.
func (in *input) silence(now time.Time) time.Duration { return max(0, now.Sub(in.Last)-in.down) }

// Silences returns for how long each input has brought no line.
func (t *Table) Silences(now time.Time) map[ID]time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[ID]time.Duration, len(t.inputs))
	for id, in := range t.inputs {
		if !in.Last.IsZero() {
			out[id] = max(0, now.Sub(in.Last))
		}
	}
	return out
}

// Reasons returns which inputs are silent against their own past, and which bring lines that are not understood. quietAfter is the
// shortest silence that counts, 0 for none. Inputs that are not present, such as a container that has ended, are not expected to bring any.
func (t *Table) Reasons(quietAfter time.Duration, present func(ID) bool, now time.Time) []health.Reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []health.Reason
	for _, in := range t.sorted() {
		if in.Kind == other {
			out = append(out, health.Reason{Topic: "inputs", Text: fmt.Sprintf(
				"there are more than %d inputs: the others are counted as one, %s, and their silence is not noticed", MaxInputs, Other)})
			continue
		}
		if !present(in.ID) {
			continue
		}
		out = append(out, in.quiet(quietAfter, now)...)
		out = append(out, in.unparsed(now)...)
	}
	return out
}

// quiet returns that the input is silent against its own past. One of other machines degrades nothing: they may end.
func (in *input) quiet(after time.Duration, now time.Time) []health.Reason {
	silence := in.silence(now)
	if after <= 0 || in.Lines < quietLines || in.Last.Sub(in.Since)-in.away < quietHistory*after || silence <= max(after, quietFactor*in.Longest) {
		return nil
	}
	r := health.Reason{Topic: "quiet " + in.String(), Since: in.Last.UTC(), Text: fmt.Sprintf(
		"%s has brought no line for %d s, before that never for more than %d s", in, int(silence.Seconds()), int(in.Longest.Seconds()))}
	if in.local() {
		r.Status = event.Degraded
	}
	return []health.Reason{r}
}

// unparsed returns that most lines of the input are of no known format. That degrades if what writes them is trusted, so that a known program
// writes what is not understood; of a container, whose program may be any, if it was different before.
func (in *input) unparsed(now time.Time) []health.Reason {
	in.recent.turn(now)
	got := in.recent.total()
	if got.Lines < unparsedLines || got.percent() < unparsedShare {
		return nil
	}
	r := health.Reason{Topic: "unparsed " + in.String()}
	past := share{in.Lines - min(in.Lines, got.Lines), in.Unparsed - min(in.Unparsed, got.Plain)}
	jumped := past.Lines >= unparsedLines && past.percent() <= got.percent()/2
	if jumped {
		r.Text = fmt.Sprintf(", before that %d %%", past.percent())
	}
	r.Text = fmt.Sprintf("%d %% of the lines of %s are of no known format%s: only their text is matched", got.percent(), in, r.Text)
	if in.Trust == event.TrustHost || in.Trust == event.TrustContainer && jumped {
		r.Status = event.Degraded
	}
	return []health.Reason{r}
}
