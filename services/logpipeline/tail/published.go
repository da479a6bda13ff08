package tail

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// published is the snapshot from which State and Stats answer. Tailer.mu is held while files are
// read, which may take long; published.mu only while memory is copied.
type published struct {
	mu       sync.Mutex
	order    []*watchedPath // sorted by path; only their fields path, published and growth are used
	patterns []string       // sorted, never changed
	polled   int64          // see State.Polled
	counters counters
	leftOut  map[uint32]int64 // never changed
	watchErr error
}

// publishedPath is the snapshot of one path. Its slices are never changed.
type publishedPath struct {
	spool   bool
	state   PathState
	lines   int64
	taken   int64 // bytes
	read    int64
	fault   fault
	missing bool
	files   []publishedFile
}

type publishedFile struct {
	file         *os.File // nil if it was closed
	offset, size int64
	searched     int64
}

// markChanged makes publish take a new snapshot of p.
func (t *Tailer) markChanged(p *watchedPath) {
	if !p.changed {
		p.changed = true
		t.changed = append(t.changed, p)
	}
}

// publish makes what was done visible. The state of a path stays as it is while lines of it are taken. Tailer.mu is held.
func (t *Tailer) publish() {
	t.published.mu.Lock()
	defer t.published.mu.Unlock()
	now := time.Now()
	var taken []*watchedPath
	for _, p := range t.changed {
		state, lag := p.published.state, p.taken
		if p.changed = p.taken > 0; p.changed {
			taken = append(taken, p)
		} else {
			state = p.state()
		}
		p.published = publishedPath{spool: p.spool, state: state, lines: p.lines, taken: p.taken, read: p.read, fault: p.fault, missing: p.missing}
		for _, f := range p.files {
			p.published.files = append(p.published.files, publishedFile{f.file, f.Offset, f.size, f.searched})
			if f.size > f.searched {
				lag += f.lag()
			}
		}
		p.growth.observe(p.read-p.taken, lag, now)
	}
	t.changed = taken
	t.published.order = t.order
	if !t.pollBegan.IsZero() && len(t.toCheck) == 0 {
		t.published.polled = t.pollBegan.Add(-clockSlack).UnixNano()
	}
	t.published.patterns = slices.AppendSeq(make([]string, 0, len(t.seen)), maps.Keys(t.seen))
	slices.Sort(t.published.patterns)
	t.published.counters = t.counters
	t.published.counters.lost, t.published.counters.refused = maps.Clone(t.lost), maps.Clone(t.refused)
	t.published.leftOut, t.published.watchErr = maps.Clone(t.leftOut), t.watch.err
}

// Modified returns when the file at path was last written to, zero if it is not followed or cannot be read.
func (t *Tailer) Modified(path string) time.Time {
	t.published.mu.Lock()
	i, found := slices.BinarySearchFunc(t.published.order, path, func(p *watchedPath, path string) int { return cmp.Compare(p.path, path) })
	found = found && t.published.order[i].published.fault.reason == "" && !t.published.order[i].published.missing
	t.published.mu.Unlock()
	if !found {
		return time.Time{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// State returns the place after all lines that are done. Store it, and give it to the next New. It does not wait for a Next.
func (t *Tailer) State() State {
	t.published.mu.Lock()
	defer t.published.mu.Unlock()
	st := State{Version: stateVersion, Patterns: t.published.patterns, Polled: t.published.polled, Paths: make([]PathState, 0, len(t.published.order))}
	for _, p := range t.published.order {
		if ps := p.published.state; len(ps.Files) > 0 || ps.Since > 0 {
			st.Paths = append(st.Paths, ps)
		}
	}
	return st
}
