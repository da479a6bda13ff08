package series

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

const (
	// maxDetections bounds the detections of one series that are waited for.
	maxDetections = 64
	maxPorts      = 32
	// maxSources bounds how often a further source of evidence escalates a series: whoever may choose addresses has many.
	maxSources = 8
	// maxDirectories bounds how often a request in a further directory of a server does.
	maxDirectories = 8
	// Of the evidence, a series keeps this much for its next revision.
	maxEvidence     = 2
	maxEvidenceSize = 512 // bytes
)

// intervals are the times after revision 0 at which revisions follow; after the last one, one every hour.
var intervals = [...]time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

// answerInterval is used instead of an hour where what an alert leads to holds for minutes: an answer to lines that anyone may write, who
// must not hide an attack of the same source for an hour by keeping its series open, and what an alert says about a container, for which
// the guard awaits a second sign for 10 minutes.
const answerInterval = 5 * time.Minute

// Match is an alert before it is a part of a series: what it would be by itself.
type Match struct {
	Alert *event.Alert
	// Quiet is how long without a match the series is over, the table's span if that is longer.
	Quiet time.Duration
	// Began is set of a correlation that became true with this match, after it was not.
	Began bool
	// Times is how many equal matches it stands for; 0 is 1.
	Times int
	// Joins is set of a match that is counted if there is a series of it, and opens none.
	Joins bool
	// Detection is set of a detection in packets, which goes on until its end: Alert.TraceID names it. Ended is that end, of which
	// Alert has only the counts.
	Detection bool
	Ended     bool
}

// Series is an attack. It marshals to JSON.
type Series struct {
	// First is what revisions show: revision 0, and after an escalation the match that escalated it, with the id and the times of revision 0.
	First event.Alert `json:"first"`
	// Latest has what changes from revision to revision.
	Latest Latest `json:"latest"`
	// Revision is the number of the last one made, Told how long after revision 0 the newest match then was.
	Revision int           `json:"revision"`
	Told     time.Duration `json:"told,omitempty"`
	// Count is the number of matches. Counted is set if that of revision 0 is one of them.
	Count   int  `json:"count"`
	Counted bool `json:"counted,omitempty"`
	// Quiet is how long without a match the series is over; 0 of detections.
	Quiet time.Duration `json:"quiet,omitempty"`
	// Held is the time of the newest match as strong as First: weaker ones do not keep a series open.
	Held time.Time `json:"held"`
	// Sources are the sources of evidence so far.
	Sources []string `json:"sources,omitempty"`
	// Directories are those in which requests had success so far.
	Directories []string `json:"directories,omitempty"`
	// Running are the trace ids of the detections that go on.
	Running []string `json:"running,omitempty"`
	// Touched is when the last match as strong as First came, by the wall clock.
	Touched time.Time `json:"touched"`
	// Over is set of a series that is over, but may continue or have matches that come again.
	Over bool `json:"over,omitempty"`
	// Stored is the Count of its newest alert in the stream when that was read after a crash: matches up to it come again.
	Stored int `json:"stored,omitempty"`

	inSecond uint64 // matches in the second of Latest.LastSeen
	place    place  // in Table
}

// Latest is what a series has by now. Its JSON is a part of that of an alert.
type Latest struct {
	LastSeen time.Time         `json:"last_seen"`
	Received time.Time         `json:"received,omitzero"`
	Peak     uint64            `json:"peak,omitempty"`
	Totals   map[string]uint64 `json:"totals,omitempty"`
	Ports    []uint16          `json:"ports,omitempty"`
	Members  []string          `json:"members,omitempty"`
	Evidence []string          `json:"evidence,omitempty"`
	Request  *event.Request    `json:"request,omitempty"`
}

// newSeries returns the series that m opens. Its match is not yet counted.
func newSeries(m Match, span time.Duration, now time.Time) *Series {
	s := &Series{Touched: now}
	if !m.Detection {
		s.Quiet = max(m.Quiet, span)
	}
	a := *m.Alert
	a.Series, a.Revision, a.Update = a.ID, 0, false
	s.First = a
	s.show(&a)
	s.Latest.LastSeen, s.Held = a.LastSeen, a.LastSeen
	return s
}

// show makes a what further revisions show.
func (s *Series) show(a *event.Alert) {
	first := *a
	first.ID, first.Series, first.TraceID, first.Time = s.First.ID, s.First.Series, s.First.TraceID, s.First.Time
	first.FirstSeen, first.LastSeen, first.Received = s.First.FirstSeen, s.First.LastSeen, s.First.Received
	first.Matched, first.Findings, first.Evidence, first.Members, first.Ports, first.Totals, first.Request = nil, nil, nil, nil, nil, nil, nil
	first.Escalated = false
	first.Vulnerability = nil // of a scan, which makes no series
	shorten(&first)
	if a.Trust.Rank() > s.First.Trust.Rank() {
		s.Latest.Members, s.Latest.Request = nil, nil // anyone may have written them
	}
	s.First = first
	s.addSource(a)
	if s.inFurtherDirectory(a) {
		s.Directories = append(s.Directories, directoryOf(a))
	}
}

// shorten shortens a, and copies the texts that are parts of a line: they would keep all of it in memory.
func shorten(a *event.Alert) {
	if a.Request != nil {
		request := *a.Request
		a.Request = &request
	}
	if a.Origin != nil {
		origin := *a.Origin
		a.Origin = &origin
	}
	a.Clamp()
	a.User, a.LogHost = strings.Clone(a.User), strings.Clone(a.LogHost)
	if a.Request != nil {
		a.Request.Method, a.Request.Path = strings.Clone(a.Request.Method), strings.Clone(a.Request.Path)
	}
}

// escalates reports whether a has stronger evidence than s shows, or as strong from a further source, or of success in a further directory.
func (s *Series) escalates(a *event.Alert) bool {
	switch have := s.First.Trust.Rank(); {
	case a.Trust.Rank() < have:
		return false
	case a.Trust.Rank() > have:
		return true
	case s.awaitsMatches(): // a came before; what it escalated is in the stream
		return false
	case a.Severity > s.First.Severity, s.inFurtherDirectory(a):
		return true
	}
	return len(s.Sources) > 0 && len(s.Sources) < maxSources && !slices.Contains(s.Sources, sourceOf(a))
}

func (s *Series) addSource(a *event.Alert) {
	if source := sourceOf(a); source != "" && !slices.Contains(s.Sources, source) && len(s.Sources) < maxSources {
		s.Sources = append(s.Sources, source)
	}
}

// inFurtherDirectory reports whether a is a request that had success in another directory than those before: a server may answer
// everything in one, which proves nothing, and a web shell is in another.
func (s *Series) inFurtherDirectory(a *event.Alert) bool {
	return a.Request != nil && a.Request.Succeeded() && len(s.Directories) < maxDirectories && !slices.Contains(s.Directories, directoryOf(a))
}

func directoryOf(a *event.Alert) string {
	return strings.Clone(event.Shorten(a.Request.Directory(), maxEvidenceSize))
}

// sourceOf names the source of a's evidence. All senders over UDP are one, because anyone may choose the address, as are all
// interfaces.
func sourceOf(a *event.Alert) string {
	o := a.Origin
	switch {
	case o == nil: // of an earlier version
		return ""
	case o.Transport == event.TransportPackets, o.Transport == event.TransportSyslogUDP:
		return o.Transport
	}
	peer, _, _ := net.SplitHostPort(o.Peer)
	return event.Shorten(strings.Join([]string{o.Transport, peer, o.Unit, o.Source, o.Container}, "|"), maxEvidenceSize)
}

// elapsed returns how long after revision 0 a is, by its times or by those of receipt: a line may name any time, and one that comes
// again after a crash is received again.
func (s *Series) elapsed(a *event.Alert, now time.Time) time.Duration {
	seen := a.LastSeen
	if seen.After(now) { // it may be ahead of the clock
		seen = now
	}
	return max(seen.Sub(s.First.LastSeen), a.ReceivedAt().Sub(s.First.ReceivedAt()))
}

// due returns how long after revision 0 the next revision is due while the attack goes on.
func (s *Series) due() time.Duration {
	for _, interval := range intervals {
		if interval > s.Told {
			return interval
		}
	}
	every := time.Hour
	if s.First.Container != nil || s.First.Trust.Rank() < event.TrustContainer.Rank() {
		every = answerInterval
	}
	return (s.Told/every + 1) * every
}

// count takes over a match.
func (s *Series) count(m Match, now time.Time) {
	a := m.Alert
	s.Count += max(m.Times, 1)
	s.Counted = s.Counted || a.ID == s.First.ID
	if m.Detection && !slices.Contains(s.Running, a.TraceID) && len(s.Running) < maxDetections {
		s.Running = append(s.Running, a.TraceID)
	}
	if !m.Detection {
		s.Quiet = max(s.Quiet, m.Quiet)
		s.countSecond(a.LastSeen)
	}
	s.merge(a, now)
}

// countSecond keeps the most matches in a second.
func (s *Series) countSecond(at time.Time) {
	switch newest := s.Latest.LastSeen.Unix(); {
	case at.Unix() > newest:
		s.inSecond = 1
	case at.Unix() == newest:
		s.inSecond++
	}
	s.Latest.Peak = max(s.Latest.Peak, s.inSecond)
}

// merge takes over what a has. Totals of a detection are sums since it began, of which the larger counts. A weaker alert adds nothing
// but its time.
func (s *Series) merge(a *event.Alert, now time.Time) {
	l := &s.Latest
	if a.LastSeen.After(l.LastSeen) {
		l.LastSeen = a.LastSeen
	}
	if a.Trust.Rank() < s.First.Trust.Rank() {
		return
	}
	if a.LastSeen.After(s.Held) {
		s.Held = a.LastSeen
	}
	if now.After(s.Touched) {
		s.Touched = now
	}
	if a.Received.After(l.Received) {
		l.Received = a.Received
	}
	l.Peak = max(l.Peak, a.Peak)
	l.Totals = larger(l.Totals, a.Totals)
	if r := a.Request; r != nil {
		l.Request = &event.Request{Method: strings.Clone(event.Shorten(r.Method, event.MaxMemberSize)), Path: strings.Clone(event.Shorten(r.Path, maxEvidenceSize)), Status: r.Status}
	}
	ports := slices.Concat(l.Ports, a.Ports)
	slices.Sort(ports)
	ports = slices.Compact(ports)
	l.Ports = ports[:min(len(ports), maxPorts)]
	for _, member := range a.Members {
		if member = event.Shorten(member, event.MaxMemberSize); len(l.Members) < event.MaxMembers && !slices.Contains(l.Members, member) {
			l.Members = append(l.Members, strings.Clone(member))
		}
	}
	if len(a.Evidence) > 0 {
		l.Evidence = nil
	}
	for _, line := range a.Evidence[:min(len(a.Evidence), maxEvidence)] {
		l.Evidence = append(l.Evidence, strings.Clone(event.Shorten(line, maxEvidenceSize)))
	}
}

func larger(a, b map[string]uint64) map[string]uint64 {
	out := maps.Clone(a)
	for name, n := range b {
		if out == nil {
			out = map[string]uint64{}
		}
		out[name] = max(out[name], n)
	}
	return out
}

// end ends the detection of a.
func (s *Series) end(a *event.Alert, now time.Time) {
	s.Running = slices.DeleteFunc(s.Running, func(trace string) bool { return trace == a.TraceID })
	s.Over = len(s.Running) == 0
	a.Trust = cmp.Or(a.Trust, s.First.Trust)
	s.merge(a, now)
}

// revision0 returns a as the first alert of s.
func (s *Series) revision0(a *event.Alert) *event.Alert {
	a.Series, a.State, a.Peak = a.ID, event.Open, s.Latest.Peak
	return a
}

// next returns the next revision. Its id follows from that of revision 0, so that one made again after a crash has the same id.
func (s *Series) next(now time.Time) *event.Alert {
	s.Revision++
	out := s.First
	out.ID = revisionID(s.First.ID, s.Revision)
	out.Time, out.LastSeen, out.Count, out.Update = now.UTC(), s.Latest.LastSeen, max(s.Count, s.Stored), true
	out.Revision, out.State = s.Revision, event.Ongoing
	if s.Over {
		out.State = event.Over
	}
	l := s.Latest
	out.Received = l.Received
	if r := cmp.Or(l.Request, s.First.Request); r != nil { // an earlier version kept the first one
		request := *r
		out.Request = &request
	}
	out.Peak, out.Totals, out.Ports, out.Members, out.Evidence = l.Peak, maps.Clone(l.Totals), slices.Clone(l.Ports), slices.Clone(l.Members), slices.Clone(l.Evidence)
	return &out
}

// escalated returns the next revision, which shows a.
func (s *Series) escalated(a *event.Alert, now time.Time) *event.Alert {
	out := s.next(now)
	out.Escalated, out.Evidence, out.Matched, out.Incomplete = true, a.Evidence, a.Matched, a.Incomplete
	return out
}
