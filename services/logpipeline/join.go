package logpipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

const (
	// maxJoining bounds the sources that have unfinished audit events: each may have as much as audit.Joiner allows. maxJoiningForeign of
	// them may be containers and senders, of which others can make as many as they like.
	maxJoining, maxJoiningForeign = 64, 48
	// joinWait is how long an audit event waits for its next record, unless Deps says otherwise.
	joinWait = 2 * time.Second
)

// joining holds the unfinished audit events of each source, as of the input that is acknowledged. Only the pipeline's goroutine uses it. A
// chunk gets a Joiner with those of its source, and leaves here what that holds when the chunk is done: so a checkpoint has the events
// that belong to its positions.
type joining struct {
	bySource map[string][]audit.Group
	started  map[string][]audit.Process // programs, for the parents of others
	busy     map[string]bool            // sources with a chunk in flight
	wait     time.Duration
}

func newJoining(saved map[string][]audit.Group, started map[string][]audit.Process, wait time.Duration) joining {
	j := joining{bySource: map[string][]audit.Group{}, started: map[string][]audit.Process{}, busy: map[string]bool{}, wait: cmp.Or(wait, joinWait)}
	for source, groups := range saved {
		if len(j.bySource) < maxJoining {
			for i := range groups {
				groups[i].Read = time.Now()
			}
			j.bySource[source] = groups
		}
	}
	for source, processes := range started {
		if len(j.started) < maxJoining {
			j.started[source] = processes
		}
	}
	return j
}

// begin gives c what its source has left.
func (j *joining) begin(c *chunk) {
	if c.source == "" {
		return
	}
	j.busy[c.source] = true
	groups, known := j.bySource[c.source]
	if known || j.hasRoom(c.source) {
		c.joiner = audit.NewJoiner(groups)
		c.joiner.SetProcesses(j.started[c.source])
	}
}

// hasRoom reports whether source, which is busy, may have unfinished events.
func (j *joining) hasRoom(source string) bool {
	all, foreign := 0, 0
	count := func(name string) {
		all++
		if isForeign(name) {
			foreign++
		}
	}
	for name := range j.bySource {
		count(name)
	}
	for name := range j.busy {
		if _, counted := j.bySource[name]; !counted {
			count(name)
		}
	}
	return all <= maxJoining && (foreign <= maxJoiningForeign || !isForeign(source))
}

// isForeign reports whether a source is a container or a sender, see sources.nameOf.
func isForeign(source string) bool {
	return strings.HasPrefix(source, "container:") || strings.HasPrefix(source, "spool:")
}

// done takes what c has left for its source.
func (j *joining) done(c *chunk) {
	delete(j.busy, c.source)
	if c.joiner == nil {
		return
	}
	if groups := c.joiner.Groups(); len(groups) > 0 {
		j.bySource[c.source] = groups
	} else {
		delete(j.bySource, c.source)
	}
	if processes := c.joiner.Processes(); len(processes) > 0 && j.mayKnow(c.source) {
		j.started[c.source] = processes
	}
}

// mayKnow reports whether the programs that source started may be kept.
func (j *joining) mayKnow(source string) bool {
	if _, known := j.started[source]; known {
		return true
	}
	foreign := 0
	for name := range j.started {
		if isForeign(name) {
			foreign++
		}
	}
	return len(j.started) < maxJoining && (foreign < maxJoiningForeign || !isForeign(source))
}

// waiting returns chunks without input, at most limit, of the sources whose events have waited for their next record long enough.
func (j *joining) waiting(now time.Time, limit int) (chunks []*chunk) {
	before := now.Add(-j.wait)
	for source, groups := range j.bySource {
		waits := slices.ContainsFunc(groups, func(g audit.Group) bool { return g.Read.Before(before) })
		if waits && !j.busy[source] && len(chunks) < limit {
			chunks = append(chunks, &chunk{source: source, expire: before})
		}
	}
	return chunks
}

// furtherEvents returns what the line of in tells besides, and the audit events that it finishes.
func (s *Service) furtherEvents(j *audit.Joiner, in *input) []*input {
	if in.More == nil && in.Audit == nil {
		return nil
	}
	return append(moreInputs(in), s.join(j, in)...)
}

// addContext adds to a record of an audit event who did it, which its SYSCALL record says.
func addContext(j *audit.Joiner, in *input) {
	if in.Audit == nil || j == nil || in.Audit.Type == "SYSCALL" {
		return
	}
	if call := j.Call(in.Audit, senderOf(in)); call != nil {
		in.AddCall(call)
	}
}

// senderOf returns what tells apart whose audit events come in one source: the machine, and who wrote the record, as far as that is proven. So
// a record that a user wrote (logger -t audit) neither becomes part of an event of the kernel nor ends it.
func senderOf(in *input) string {
	uid := ""
	if in.trust == event.TrustUnproven && in.origin.UID != nil { // of what the kernel wrote it is that of the process the record is about
		uid = strconv.FormatUint(uint64(*in.origin.UID), 10)
	}
	return strings.Join([]string{in.origin.Peer, in.Host, string(in.trust), uid}, " ")
}

// join adds the record that in is, if it is one, to those of its event, and returns the events that this finishes as inputs.
func (s *Service) join(j *audit.Joiner, in *input) []*input {
	switch {
	case in.Audit == nil:
		return nil
	case j == nil:
		s.auditUnjoined.Add(1)
		s.lost(in.from, "lost_records_unjoined", 1)
		return nil
	}
	return s.joined(j, j.Add(in.Audit, audit.Line{
		Text: in.Audit.Text, Position: in.position, Read: time.Now(), Received: in.received,
		Sender: senderOf(in), Host: in.Host, Origin: in.origin, Trust: in.trust, From: in.from,
	}))
}

// joined returns what finished audit events are in Sigma's categories. Their positions follow from those of their first records.
func (s *Service) joined(j *audit.Joiner, done []audit.Group) (out []*input) {
	for i := range done {
		g := &done[i]
		s.auditJoined.Add(1)
		if !g.Ended || g.Cut > 0 {
			s.auditIncomplete.Add(1)
		}
		for n, ev := range parse.JoinAudit(g) {
			setParent(j, g, &ev)
			in := &input{
				Event: ev, position: fmt.Sprintf("%s#%s.%d", g.Position, ev.Logsource.Category, n), received: g.Received, time: g.Time, evidence: g.Texts,
			}
			if in.time.After(g.Received.Add(maxAhead)) {
				in.time = g.Received
			}
			in.began, in.from = in.time, g.From
			if g.Cut > 0 {
				in.incomplete = []event.Incomplete{{Counter: "audit_records", Amount: uint64(g.Cut)}}
			}
			in.setOrigin(g.Origin, g.Trust)
			out = append(out, in)
		}
	}
	return out
}

// setParent adds to a program that was started the one that started it, which earlier events of the same sender say, and notes it for those that
// it starts.
func setParent(j *audit.Joiner, g *audit.Group, ev *parse.Event) {
	if ev.Logsource.Category != "process_creation" {
		return
	}
	text := func(name string) string { v, _ := ev.Fields.Get(name); return v.String() }
	if id, err := strconv.ParseUint(text("ParentProcessId"), 10, 32); err == nil {
		if parent, ok := j.Parent(g, id); ok {
			ev.SetParent(parent.Image, parent.CommandLine)
		}
	}
	if id, err := strconv.ParseUint(text("ProcessId"), 10, 32); err == nil {
		j.Started(g, id, text("Image"), text("CommandLine"))
	}
}
