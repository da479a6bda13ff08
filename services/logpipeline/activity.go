package logpipeline

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const (
	maxInputs = 1000 // whose activity is remembered

	// An input is quiet if it was silent for quietFactor times its longest silence so far, and is judged once it was active for quietHistory
	// times quiet_after_secs, a day by default, which has a night in it, and brought quietLines.
	quietFactor  = 5
	quietHistory = 24
	quietLines   = 10

	unparsedSpan  = 10 * time.Minute // of lines that the share of unparsed ones is of
	unparsedLines = 100              // fewer say nothing
	unparsedShare = 50               // percent

	noInputAfter = 30 * time.Second // a file that is rotated is missing for a moment
)

// activity remembers when each input brought lines and how many of them were understood. The zero value has none. Its methods may be called
// concurrently.
type activity struct {
	mu      sync.Mutex
	inputs  map[string]*inputActivity // by the pattern of watch_paths, or SourceSyslog
	nothing time.Time                 // since when there is no input; zero: there is one
}

// inputActivity is that of one input since the module started.
type inputActivity struct {
	first, last time.Time
	longest     time.Duration // silence between lines
	lines       uint64
	trusted     bool
	span        time.Time // when the counts of now began
	now, before shareOf
}

// shareOf counts lines and those of no known format.
type shareOf struct{ lines, plain uint64 }

// add notes that input brought lines at now.
func (a *activity) add(input string, lines, plain int, trust event.Trust, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.inputs[input]
	if in == nil {
		if len(a.inputs) >= maxInputs {
			return
		}
		if a.inputs == nil {
			a.inputs = map[string]*inputActivity{}
		}
		in = &inputActivity{first: now, last: now, span: now}
		a.inputs[input] = in
	}
	in.longest = max(in.longest, now.Sub(in.last))
	in.last, in.trusted = now, trust == event.TrustHost
	in.lines += uint64(max(lines, 0))
	in.turn(now)
	in.now.lines += uint64(max(lines, 0))
	in.now.plain += uint64(max(plain, 0))
}

// turn begins new counts when unparsedSpan has passed.
func (in *inputActivity) turn(now time.Time) {
	switch passed := now.Sub(in.span); {
	case passed >= 2*unparsedSpan:
		in.before, in.now, in.span = shareOf{}, shareOf{}, now
	case passed >= unparsedSpan:
		in.before, in.now, in.span = in.now, shareOf{}, now
	}
}

// silences returns for how long each input has brought no line.
func (a *activity) silences(now time.Time) map[string]time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]time.Duration, len(a.inputs))
	for name, in := range a.inputs {
		out[name] = max(0, now.Sub(in.last))
	}
	return out
}

// reasons returns which inputs are silent against their own past, and which bring lines that are not understood. quietAfter is the
// shortest silence that counts, 0 for none.
func (a *activity) reasons(quietAfter time.Duration, now time.Time) []health.Reason {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []health.Reason
	for _, name := range slices.Sorted(maps.Keys(a.inputs)) {
		in := a.inputs[name]
		silence := now.Sub(in.last)
		if quietAfter > 0 && in.lines >= quietLines && in.last.Sub(in.first) >= quietHistory*quietAfter && silence > max(quietAfter, quietFactor*in.longest) {
			out = append(out, health.Reason{Topic: "quiet " + name, Status: event.Degraded, Since: in.last.UTC(), Text: fmt.Sprintf(
				"%s has brought no line for %d s, before that never for more than %d s", name, int(silence.Seconds()), int(in.longest.Seconds()))})
		}
		in.turn(now)
		lines, plain := in.now.lines+in.before.lines, in.now.plain+in.before.plain
		if lines < unparsedLines || plain*100 < lines*unparsedShare {
			continue
		}
		r := health.Reason{Topic: "unparsed " + name, Text: fmt.Sprintf("%d %% of the lines of %s are of no known format: only their text is matched", plain*100/lines, name)}
		if in.trusted {
			r.Status = event.Degraded
		}
		out = append(out, r)
	}
	return out
}

// noInput returns that there is no input at all, "" if there is one or was until a moment ago.
func (a *activity) noInput(exists bool, patterns int, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case exists:
		a.nothing = time.Time{}
	case a.nothing.IsZero():
		a.nothing = now
	}
	if a.nothing.IsZero() || now.Sub(a.nothing) < noInputAfter {
		return ""
	}
	return fmt.Sprintf("no input exists: none of %d watch_paths is there, and nothing came by syslog, of containers or from the packet engine", patterns)
}

// inputReasons returns what is to be said about the inputs in n.
func (s *Service) inputReasons(cfg Config, n snapshot) []health.Reason {
	now := time.Now()
	out := s.activity.reasons(time.Duration(cfg.QuietAfterSecs)*time.Second, now)
	received := n.syslog.Received[syslog.UDP] + n.syslog.Received[syslog.TCP]
	exists := !cfg.Files() || n.tail.Present > 0 || received > 0 || n.docker.Containers > 0 || s.packets.Load() > 0
	if text := s.activity.noInput(exists, len(cfg.WatchPaths), now); text != "" {
		out = append(out, health.Degraded(text)...)
	}
	return out
}

// noteChunk remembers what c brought. A chunk is of one source.
func (d *decoder) noteChunk(c *chunk) {
	if c.lines == nil {
		return
	}
	line := c.lines[0]
	if d.syslog.IsSpoolFile(line.Path) {
		d.s.activity.add(SourceSyslog, len(c.lines), c.plain, event.TrustUnproven, time.Now())
		return
	}
	_, trust := fileOrigin(line)
	d.s.activity.add(d.s.inputOf(line), len(c.lines), c.plain, trust, time.Now())
}

// inputOf returns the pattern of watch_paths that a line's file is of.
func (s *Service) inputOf(line tail.Line) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pattern := range s.cfg.WatchPaths {
		if pattern == line.Path || globs(pattern, line.Path) {
			return pattern
		}
	}
	return line.Path
}

// isPlain reports whether a line is of no known format.
func isPlain(text []byte, format parse.Format) bool { return format == parse.Plain && len(text) > 0 }
