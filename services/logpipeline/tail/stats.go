package tail

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Reasons for which bytes were lost; keys of Stats.Lost.
const (
	LostTruncated  = "truncated"  // cut off before they were read, and no copy was found
	LostRotated    = "rotated"    // the rotated file is gone or compressed
	LostTorn       = "torn"       // the half written end of a spool file
	LostUnreadable = "unreadable" // a rotated file that may not be read
)

// LostReasons returns every key that Stats.Lost may have.
func LostReasons() []string {
	return []string{LostTruncated, LostRotated, LostTorn, LostUnreadable}
}

// Stats is what a Tailer did so far and how far it is behind.
type Stats struct {
	Files     int              // followed now
	Lines     int64            // handed out
	Bytes     int64            // consumed
	Truncated int64            // lines longer than Config.MaxLine
	Rotations int64            // files replaced or truncated under their path
	Lag       int64            // bytes written and not yet handed out
	Lost      map[string]int64 // bytes lost, by reason
	// Reasons are sentences for the operator, sorted: what is not followed and why.
	Reasons []string
	// Missing are the paths of files that are not there yet, which is no fault, sorted;
	// at most 20.
	Missing []string
	// Behind holds the files with the largest lag, at most 20, largest first.
	Behind []FileStats
}

// FileStats is the lag of one file.
type FileStats struct {
	Path  string
	Lag   int64 // bytes written and not yet handed out
	Lines int64 // handed out
}

// maxBehind bounds Stats.Behind.
const maxBehind = 20

// Stats returns counters and reasons. Any goroutine may call it at any time; it
// looks at every file.
func (t *Tailer) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := Stats{
		Files: len(t.order), Lines: t.lines, Bytes: t.bytes,
		Truncated: t.truncated, Rotations: t.rotations, Lost: maps.Clone(t.lost),
	}
	for _, f := range t.order {
		fs := FileStats{Path: f.path, Lag: f.lag(), Lines: f.lines}
		st.Lag += fs.Lag
		if fs.Lag > 0 {
			st.Behind = append(st.Behind, fs)
		}
	}
	slices.SortFunc(st.Behind, func(a, b FileStats) int {
		return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Path, b.Path))
	})
	st.Behind = st.Behind[:min(len(st.Behind), maxBehind)]
	st.Reasons = t.reasons()
	st.Missing = t.missingPaths()
	return st
}

// lag is what is written and not handed out, as far as can be seen now.
func (f *follow) lag() int64 {
	var sum int64
	for _, s := range f.queue {
		if s.file != nil {
			if in, err := lookFile(s.file); err == nil {
				sum += max(0, in.size-s.Offset)
				continue
			}
		}
		sum += s.lag()
	}
	return sum
}

// missingPaths returns at most maxBehind of them; the files are in order.
func (t *Tailer) missingPaths() []string {
	var out []string
	for _, f := range t.order {
		if f.missing && !f.spool && len(out) < maxBehind {
			out = append(out, f.path)
		}
	}
	return out
}

// reasons returns at most maxBehind reasons, and how many there are beyond.
func (t *Tailer) reasons() []string {
	var all []string
	for _, f := range t.order {
		if f.reason != "" && !f.spool {
			all = append(all, f.reason)
		}
	}
	if t.capped {
		all = append(all, fmt.Sprintf("the patterns match more than %d files: the rest is not followed", t.cfg.MaxFiles))
	}
	if t.watch.err != nil {
		all = append(all, "no change notification, files are polled: "+t.watch.err.Error())
	}
	if n := len(all) - maxBehind; n > 0 {
		all = append(all[:maxBehind], fmt.Sprintf("and %d more", n))
	}
	slices.Sort(all)
	return all
}
