package tail

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// counters are the totals in Stats.
type counters struct {
	lines, bytes, truncated, rotations int64
	lostFiles                          int64
	lost, refused                      map[string]int64 // by reason
}

// Reasons for which bytes were lost; keys of Stats.Lost.
const (
	LostTruncated  = "truncated"  // truncated before they were read, and there is no copy
	LostRotated    = "rotated"    // the rotated file is gone or compressed
	LostTorn       = "torn"       // the half-written end of a spool file
	LostUnreadable = "unreadable" // a rotated file that may not be read
)

// LostReasons returns every key that Stats.Lost may have.
func LostReasons() []string {
	return []string{LostTruncated, LostRotated, LostTorn, LostUnreadable}
}

// Stats is what a Tailer did so far and how far it is behind.
type Stats struct {
	Files     int              // paths followed now
	Present   int              // of them, watched files that are there and can be read
	Lines     int64            // returned by Next
	Bytes     int64            // consumed
	Truncated int64            // lines longer than Config.MaxLine
	Rotations int64            // files replaced or truncated under their path
	Lag       int64            // bytes written whose lines are not done yet
	Lost      map[string]int64 // bytes lost, by reason
	LostFiles int64            // files of which an unknown number of bytes was lost
	Refused   map[string]int64 // how often what is under a path was found not to be followed, by reason
	// Reasons are sentences for the operator: what was lost, which files are not followed and why.
	Reasons []string
	// Missing are the paths of files that are not there yet, which is no fault, sorted;
	// at most 20.
	Missing []string
	// Behind holds the files that are behind the longest, at most 20, longest first.
	Behind []FileStats
}

// FileStats is the lag of one file.
type FileStats struct {
	Path  string
	Lag   int64         // bytes written whose lines are not done yet
	Age   time.Duration // of the oldest of them, from when it was first seen; 0 while they are no whole line
	Lines int64         // returned by Next
}

// maxListed bounds the lists in Stats.
const maxListed = 20

// Stats returns counters and reasons. Any goroutine may call it at any time: it stats the
// open files for their lag, but does not wait for a Next.
func (t *Tailer) Stats() Stats {
	pub := &t.published
	pub.mu.Lock()
	c := pub.counters
	st := Stats{
		Files: len(pub.order), Lines: c.lines, Bytes: c.bytes,
		Truncated: c.truncated, Rotations: c.rotations, LostFiles: c.lostFiles, Lost: maps.Clone(c.lost), Refused: maps.Clone(c.refused),
	}
	leftOut, watchErr := pub.leftOut, pub.watchErr
	order := pub.order
	paths := make([]publishedPath, len(order))
	for i, p := range order {
		paths[i] = p.published
	}
	pub.mu.Unlock()

	var faults []fault
	for i, p := range paths {
		fs := FileStats{Path: order[i].path, Lines: p.lines}
		lag, whole := p.lag()
		fs.Lag, fs.Age = lag, pub.observe(order[i], p.read-p.taken, whole)
		st.Lag += fs.Lag
		if fs.Lag > 0 {
			st.Behind = append(st.Behind, fs)
		}
		if p.spool {
			continue
		}
		if p.fault.reason == "" && !p.missing {
			st.Present++
		}
		if p.fault.reason != "" {
			faults = append(faults, p.fault)
		}
		if p.missing && len(st.Missing) < maxListed {
			st.Missing = append(st.Missing, fs.Path)
		}
	}
	slices.SortFunc(st.Behind, func(a, b FileStats) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Path, b.Path))
	})
	st.Behind = st.Behind[:min(len(st.Behind), maxListed)]
	st.Reasons = append(st.Reasons, t.unknown.reasons(time.Now())...)
	if reason := t.losses.Reason("bytes of files were lost", time.Now()); reason != "" {
		st.Reasons = append(st.Reasons, reason)
	}
	if reason := leftOutReason(leftOut, t.cfg.MaxFiles); reason != "" {
		st.Reasons = append(st.Reasons, reason)
	}
	if watchErr != nil {
		st.Reasons = append(st.Reasons, "no change notification, files are polled: "+watchErr.Error())
	}
	st.Reasons = append(st.Reasons, faultReasons(faults)...)
	return st
}

// observe notes the lag of p, and returns the age of its oldest byte that is not done. Done may have been called since lag was found:
// then more bytes are done than lag says, which the next call corrects.
func (pub *published) observe(p *watchedPath, done, lag int64) time.Duration {
	pub.mu.Lock()
	defer pub.mu.Unlock()
	now := time.Now()
	p.growth.observe(done, lag, now)
	return p.growth.age(now)
}

// lag is how many bytes are written and not yet done, and how many without those that were found to be no whole line yet. A file that
// Next has closed since counts with its last known size.
func (p publishedPath) lag() (all, whole int64) {
	all, whole = p.taken, p.taken
	for _, f := range p.files {
		size := f.size
		if f.file != nil {
			if info, err := f.file.Stat(); err == nil {
				size = info.Size()
			}
		}
		n := max(0, size-f.offset)
		all += n
		if size > f.searched {
			whole += n
		}
	}
	return all, whole
}
