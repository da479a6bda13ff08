package tail

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// slot returns the place for the file of p that is unpacked: there is one for the files that root owns or the operator has named, and one for all
// others. So the memory for it is bounded.
func (t *Tailer) slot(p *watchedPath) **logFile {
	if p.shares() {
		return &t.unpacked[1]
	}
	return &t.unpacked[0]
}

// startUnpacking begins to unpack the file at path, in which f was found. If as many as may be are unpacked, p is read again when there is a place.
// If it cannot be unpacked, others are tried.
func (t *Tailer) startUnpacking(p *watchedPath, f *logFile, path string) {
	slot := t.slot(p)
	if holder := *slot; holder != nil && slices.Index(p.files, holder) > slices.Index(p.files, f) { // it comes after f
		t.stopUnpacking(holder)
		holder.rotation = rotated
	}
	if *slot != nil {
		t.waiting = append(t.waiting, p)
		f.waits = true
		return
	}
	f.waits = false
	err := errUnsupported
	var u *unpacker
	if t.cfg.ScratchDir != "" {
		u, err = newUnpacker(t.cfg.ScratchDir, path, &f.FileState)
	}
	if err != nil {
		t.rejectPacked(p, f, path, err)
		return
	}
	*slot, f.rotation, f.unpacker = f, unpacking, u
}

// stopUnpacking closes the unpacker of f, if there is one, and lets others have its place.
func (t *Tailer) stopUnpacking(f *logFile) {
	if f.unpacker == nil {
		return
	}
	f.unpacker.close()
	f.unpacker = nil
	for i := range t.unpacked {
		if t.unpacked[i] == f {
			t.unpacked[i] = nil
		}
	}
	for _, p := range t.waiting {
		p.pending = true
	}
	t.waiting = nil
}

// rejectPacked gives up the compressed file at path, in which f was found. What was to continue there may be in another one, and what is there
// may be a content of its own.
func (t *Tailer) rejectPacked(p *watchedPath, f *logFile, path string, err error) {
	t.stopUnpacking(f)
	if !errors.Is(err, errOtherContent) {
		t.logFor(p).WithError(err).Warn("rotated log cannot be unpacked")
	}
	if f.At == f.ID {
		t.lostUnknown(p, fmt.Sprintf("%s, a rotation of %s that was not read to its end, cannot be read, found at %s: %v; how many lines are lost is unknown",
			path, p.path, time.Now().UTC().Format(time.RFC3339), cause(err)))
		f.Packed = true
		t.finishFile(p, f)
		return
	}
	f.rejected = append(f.rejected, f.At)
	delete(t.owners, f.At)
	f.rotation, f.At, f.Real = rotated, FileID{}, p.path // it is nowhere, so far
	if info, statErr := statPath(path); statErr == nil && errors.Is(err, errOtherContent) {
		if i := slices.Index(p.files, f); i+1 < len(p.files) {
			t.queueFile(p, sibling{path, info}, p.files[i+1])
		}
	}
}

// cause returns the innermost of the errors that name a path.
func cause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// unpackNext unpacks the next step of f. At the end f continues in the unpacked file if that
// continues its content; if not, another copy is searched.
func (t *Tailer) unpackNext(p *watchedPath, f *logFile, b *batch) readResult {
	u := f.unpacker
	done, err := u.step()
	b.work += unpackStep
	if err == nil && !done {
		return readMore
	}
	if err == nil && !f.begun() && f.matches(u.out, u.offset) && t.takeKnown(p, f) {
		return readMore
	}
	if err == nil && f.matches(u.out, u.offset) {
		t.readUnpacked(p, f)
		return readMore
	}
	if err == nil {
		err = errOtherContent
	}
	t.rejectPacked(p, f, u.path, err)
	return readMore
}

// readUnpacked has f read from what was unpacked.
func (t *Tailer) readUnpacked(p *watchedPath, f *logFile) {
	u := f.unpacker
	out, info := u.out, u.fileInfo
	u.out, info.size = nil, u.offset
	f.rotation, f.At, f.Real = copied, u.id, resolve(u.path)
	t.own(p, f)
	t.stopUnpacking(f)
	f.packed, f.Packed = &u.fileInfo, true
	t.useOpenFile(p, f, out, info)
}

// takeKnown looks whether the content that was unpacked for f, of which nothing was read, was read from another file. If there is more in it,
// f is read on from there; otherwise f is finished, which takeKnown reports.
func (t *Tailer) takeKnown(p *watchedPath, f *logFile) (finished bool) {
	u := f.unpacker
	content := u.sibling
	content.size = u.offset
	t.takeOver(p, f)
	if f.begun() {
		return false
	}
	copied := t.isBeingRead(p, f, u.out, content)
	st, read := p.finishedContent(u.out, u.offset)
	if !copied && !read {
		return false
	}
	if !copied && st.Offset < u.offset {
		at, mtime := f.At, f.MTime
		f.FileState = *st
		f.At, f.MTime, f.Done, f.Copy = at, mtime, false, false
		f.setPrefix(p)
		return false
	}
	state, err := stateThrough(u.out, u.offset)
	if err != nil {
		return false
	}
	state.ID, state.At, state.Real, state.MTime, state.Packed = u.id, u.id, resolve(u.path), u.mtime, true
	state.Copy = copied
	f.FileState = state
	t.stopUnpacking(f)
	t.finishFile(p, f)
	return true
}

// takeOver has f, for which a content was unpacked, go on where another file of p is in it that has no name any more.
func (t *Tailer) takeOver(p *watchedPath, f *logFile) {
	u := f.unpacker
	i := slices.IndexFunc(p.files, func(other *logFile) bool {
		return other != f && other.rotation == rotated && other.Head.Len > 0 && max(other.size, other.Size) <= u.offset && other.matches(u.out, u.offset) && t.locate(p, other) == ""
	})
	if i < 0 {
		return
	}
	other := p.files[i]
	at, real, mtime := f.At, f.Real, f.MTime
	f.FileState = other.FileState
	f.At, f.Real, f.MTime = at, real, mtime
	f.setPrefix(p)
	t.closeFile(other)
	p.files = slices.Delete(p.files, i, i+1)
}
