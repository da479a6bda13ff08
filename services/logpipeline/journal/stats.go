package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// maxListed bounds the lists in Stats.
const maxListed = 20

// Stats are the counters and health reasons of a Source.
type Stats struct {
	Live            bool   // a journal is in use
	Files           int    // followed
	Folders         int    // that they are in
	Entries         uint64 // returned by Next
	Bad             uint64 // skipped because they are damaged
	BadFields       uint64 // left out because they are damaged
	Refused         uint64 // fields that were not decompressed, or only in part
	Again           uint64 // skipped because a flush copied them
	Vacuumed        uint64 // deleted before they were read, since the state began
	VacuumedUnknown uint64 // how often an unknown number of entries was deleted
	Unread          uint64 // written and not done
	// Behind holds the streams that are behind the longest, at most 20, longest first.
	Behind []StreamStats
	// Reasons are sentences for the operator: what is not read or was lost.
	Reasons []string
}

// StreamStats says how far a stream is behind.
type StreamStats struct {
	Name string
	Age  time.Duration // of its oldest entry that is not done, from when it can have been read
}

// Stats returns the counters and reasons. Any goroutine may call it at any time.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Vacuumed, out.VacuumedUnknown = s.state.Vacuumed, s.state.VacuumedUnknown
	out.Reasons = slices.Clone(out.Reasons)
	if !s.enabled {
		out.Live, out.Files, out.Folders, out.Unread, out.Reasons = false, 0, 0, 0, nil
	}
	for _, st := range s.streams {
		oldest := st.queue
		if len(st.taken) > 0 {
			oldest = st.taken
		}
		if len(oldest) > 0 {
			out.Behind = append(out.Behind, StreamStats{st.name, max(0, time.Since(s.waitsSince(oldest[0])))})
		}
	}
	slices.SortFunc(out.Behind, func(a, b StreamStats) int { return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(a.Name, b.Name)) })
	out.Behind = out.Behind[:min(len(out.Behind), maxListed)]
	if reason := s.losses.Reason("the journal was not read completely", time.Now()); reason != "" {
		out.Reasons = append(out.Reasons, reason)
	}
	return out
}

// waitsSince returns since when e can have been taken: of an entry from before the start, that. What another machine says of its time
// does not count.
func (s *Source) waitsSince(e Entry) time.Time {
	if at := time.UnixMicro(int64(min(e.Realtime, 1<<62))); e.Local && at.After(s.started) {
		return at
	}
	if !e.Local {
		return e.read
	}
	return s.started
}

// Live reports whether a journal is in use, as the last look found.
func (s *Source) Live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.Live
}

// tell puts what was found into the statistics.
func (f *follower) tell(l listing) {
	var reasons []string
	for _, err := range l.errs {
		reasons = append(reasons, "a folder of the journal cannot be read: "+err.Error())
	}
	if l.capped {
		reasons = append(reasons, fmt.Sprintf("there are more than %d folders or %d files of journals: the rest is not read", maxFolders, maxFiles))
	}
	for _, path := range slices.Sorted(maps.Keys(f.bad)) {
		if reason := f.bad[path].reason; reason != "" {
			reasons = append(reasons, "not read: "+reason)
		}
	}
	for _, file := range f.files {
		if file.dead != "" {
			reasons = append(reasons, fmt.Sprintf("journal %s: not read any more: %s", file.path, file.dead))
		}
	}
	if n := len(reasons) - maxListed; n > 0 {
		reasons = append(reasons[:maxListed], fmt.Sprintf("and %d more", n))
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.stats.Files, f.s.stats.Folders, f.s.stats.Reasons, f.s.stats.Live = len(f.files), len(l.folders), reasons, l.isLive(time.Now())
}
