package logpipeline

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

const (
	noInputAfter = 30 * time.Second // a file that is rotated is missing for a moment
	lateAfter    = 5 * time.Minute  // a line that says it was written this long before it came is late
)

// absence remembers since when there is no input. The zero value is for one that is there. Its method may be called concurrently.
type absence struct {
	mu    sync.Mutex
	since time.Time // zero: there is one
}

// reason returns that there is no input at all, "" if there is one or was until a moment ago.
func (a *absence) reason(exists bool, patterns int, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case exists:
		a.since = time.Time{}
	case a.since.IsZero():
		a.since = now
	}
	if a.since.IsZero() || now.Sub(a.since) < noInputAfter {
		return ""
	}
	return fmt.Sprintf("no input exists: none of %d watch_paths is there, no journal is in use, and nothing came by syslog, of containers or from the packet engine", patterns)
}

// inputReasons returns what is to be said about the inputs in n.
func (s *Service) inputReasons(cfg Config, n snapshot) []health.Reason {
	now := time.Now()
	out := s.inputStats.Reasons(time.Duration(cfg.QuietAfterSecs)*time.Second, n.hasInput, now)
	var received int64
	for _, count := range n.syslog.Received {
		received += count
	}
	exists := !cfg.Files() || n.tail.Present > 0 || received > 0 || n.docker.Containers > 0 || n.journal.Live || s.packets.Load() > 0
	if text := s.noInput.reason(exists, len(cfg.WatchPaths), now); text != "" {
		out = append(out, health.Degraded(text)...)
	}
	return out
}

// hasInput reports whether lines of an input may be expected: a container that has ended, or a pattern that is not watched any more, brings none.
func (n snapshot) hasInput(id inputstats.ID) bool {
	switch id.Kind {
	case inputstats.File:
		return n.cfg.Files() && slices.Contains(n.cfg.WatchPaths, id.Name)
	case inputstats.Container:
		return slices.Contains(n.docker.Names, id.Name)
	case inputstats.Journal:
		return n.journal.Live
	case inputstats.Kernel:
		return false // a kernel may be silent for days
	}
	return true
}

// patternOf returns the pattern of watch_paths that a file is of.
func (s *Service) patternOf(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pattern := range s.cfg.WatchPaths {
		if pattern == path || globs(pattern, path) {
			return pattern
		}
	}
	return path
}

// fileInput returns the input of a file that is followed: a watched one, or a sequence of the spool.
func (s *Service) fileInput(path string, spool bool) inputstats.ID {
	if spool {
		return syslogInput(syslog.SenderOf(path))
	}
	return inputstats.ID{Kind: inputstats.File, Name: s.patternOf(path)}
}

// syslogInput returns the input of a sequence of the spool, whose name begins with the transport.
func syslogInput(sequence string) inputstats.ID {
	transport, _, _ := strings.Cut(sequence, "-")
	return spooledInput(transport)
}

// inputOf returns the input that the newest line of an alert is of. That of a packet record has none.
func (s *Service) inputOf(a *event.Alert) (id inputstats.ID, ok bool) {
	if a.Origin == nil {
		return id, false
	}
	switch o := a.Origin; {
	case o.Transport == event.TransportFile:
		return s.fileInput(o.Source, false), true
	case spooledTransport(o.Transport) != "":
		return spooledInput(spooledTransport(o.Transport)), true
	case o.Transport == event.TransportJournald:
		return inputstats.ID{Kind: inputstats.Journal}, true
	case o.Transport == event.TransportKernel:
		return inputstats.ID{Kind: inputstats.Kernel}, true
	case o.Transport == event.TransportDocker && a.Container != nil:
		return inputstats.ID{Kind: inputstats.Container, Name: a.Container.Name}, true
	}
	return id, false
}

// lost counts what is lost of an input.
func (s *Service) lost(id inputstats.ID, cause string, n int64) {
	s.inputStats.Lose(id, cause, uint64(max(n, 0)), time.Now())
}

// batch returns what the input id brought so far.
func (c *chunk) batch(id inputstats.ID) *inputstats.Batch {
	i := slices.IndexFunc(c.brought, func(b inputstats.Batch) bool { return b.ID == id })
	if i < 0 {
		i = len(c.brought)
		c.brought = append(c.brought, inputstats.Batch{ID: id})
	}
	return &c.brought[i]
}

// count counts a decoded line, which was received at received.
func (c *chunk) count(in *input, text []byte, received time.Time) {
	plain := isPlain(text, in.Format)
	c.counted.lines++
	c.counted.bytes += uint64(len(text))
	if plain {
		c.counted.unparsed++
	}
	b := c.batch(in.from)
	b.Trust = in.trust
	b.Line(string(in.Format), plain, len(text))
	if in.zone != "" {
		b.Timezone = in.zone
	}
	if in.truncated {
		b.Truncated++
	}
	switch {
	case in.Time.IsZero():
	case in.Time.After(received.Add(maxAhead)):
		b.Future++
	case !in.backlog && in.received.Sub(in.Time) > lateAfter:
		b.Late++
	}
}

// unreadable counts a line that is not decoded: it is damaged in the spool, or dead.
func (c *chunk) unreadable(id inputstats.ID, text []byte, out *decoded) {
	b := c.batch(id)
	b.Lines++
	b.Bytes += uint64(len(text))
	b.Unreadable++
	out.text = text
}

// isPlain reports whether a line is of no known format.
func isPlain(text []byte, format parse.Format) bool { return format == parse.Plain && len(text) > 0 }
