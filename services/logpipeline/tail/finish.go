package tail

import (
	"slices"
	"time"
)

// complete reports whether f, which is at its end, will not grow any more.
func (t *Tailer) complete(p *watchedPath, f *logFile) bool {
	switch {
	case p.spool:
		return !p.newestSpool
	case f.rotation == rotated:
		if f.quietSince.IsZero() {
			f.quietSince = time.Now()
		}
		wait := t.cfg.Linger - time.Since(f.quietSince)
		if due := time.Now().Add(wait); wait > 0 && (t.nextRelease.IsZero() || due.Before(t.nextRelease)) {
			t.nextRelease = due
		}
		return wait <= 0
	default:
		return f.rotation == copied
	}
}

// releaseRotated has the rotated files looked at whose time for late writes is over.
func (t *Tailer) releaseRotated() {
	if t.nextRelease.IsZero() || time.Now().Before(t.nextRelease) {
		return
	}
	t.nextRelease = time.Time{}
	for _, p := range t.order {
		p.pending = p.pending || slices.ContainsFunc(p.files, func(f *logFile) bool { return f.rotation == rotated })
	}
}

// resumeLateWrites takes files up again that have grown since they were finished, if they are where they were: their writer was told late of
// the rotation, or never.
func (t *Tailer) resumeLateWrites(p *watchedPath) {
	const latest = 3
	for _, st := range slices.Clone(p.finished[max(0, len(p.finished)-latest):]) {
		if st.Packed || st.At != st.ID || st.Real == "" || st.Real == p.path {
			continue
		}
		info, err := statPath(st.Real)
		if err != nil || info.id != st.At || info.size <= st.Offset {
			continue
		}
		p.finished = slices.DeleteFunc(p.finished, func(other FileState) bool { return other.ID == st.ID && other.At == st.At })
		f := &logFile{FileState: st, rotation: rotated, size: info.size}
		f.Done = false
		f.setPrefix(p)
		var first *logFile
		if len(p.files) > 0 {
			first = p.files[0]
		}
		t.enqueue(p, f, first)
	}
}

// finishFile ends the reading of f.
func (t *Tailer) finishFile(p *watchedPath, f *logFile) {
	if f.rotation == rotated && !p.spool {
		f.Real = t.locate(p, f) // where late writes to it are seen
	}
	t.closeFile(f)
	f.rotation, f.Done = finished, true
	p.finished = append(p.finished, f.FileState)
	p.files = slices.DeleteFunc(p.files, func(x *logFile) bool { return x == f })
}

// forgetFinished forgets finished files that are not in the folder any more, but for some: by those it is known what a compressed file holds, and
// by the time of the last one what is newer.
func (t *Tailer) forgetFinished(p *watchedPath) {
	const keepGone = 6
	if len(p.finished) <= keepGone {
		return
	}
	last := p.finished[len(p.finished)-1]
	present := map[FileID]bool{}
	for _, sib := range t.rotationsOf(p, &logFile{FileState: last}) {
		present[sib.id] = true
	}
	kept := 0
	for i, st := range slices.Backward(p.finished) {
		if present[st.At] {
			continue
		}
		if kept++; kept > keepGone {
			p.finished = slices.Delete(p.finished, i, i+1)
			t.disown(p, st)
		}
	}
}
