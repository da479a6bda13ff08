package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	batch      = 256 // entries that are read without a look at the queue
	leastLimit = 1 << 10
)

// outcome is why the reading of a file ended.
type outcome int

const (
	atEnd outcome = iota // for now
	noRoom
	tooMuch // for one step
)

// fill reads entries until the queues are full or the files at their ends.
func (f *follower) fill() (more, ok bool) {
	skips := maxSkips
	behind := map[string]bool{} // streams, and folders of the volatile journal, in which an earlier file has more
	for _, file := range f.inOrder() {
		if behind[file.stream] || !file.volatile && behind[filepath.Base(file.folder)] {
			continue
		}
		switch f.read(file, &skips) {
		case noRoom:
			behind[file.stream] = true
		case tooMuch:
			behind[file.stream], more = true, true
		case atEnd:
			if file.ended() {
				f.shut(file)
			}
			continue
		}
		if file.volatile {
			behind[filepath.Base(file.folder)] = true
		}
	}
	return more, f.publish()
}

// read queues entries of file.
func (f *follower) read(file *followed, skips *int) outcome {
	if file.next >= file.header.entries || file.dead != "" {
		return atEnd
	}
	if file.open == nil && !f.reopen(file) {
		return atEnd
	}
	flushed := f.spans().others(file)
	limit := max(int(f.s.maxField.Load()), leastLimit)
	file.open.limits = Limits{MaxField: limit, MaxEntry: entryBytes * limit}
	for file.next < file.header.entries {
		n := f.s.roomFor(file.stream)
		if n == 0 {
			return noRoom
		}
		if *skips <= 0 {
			return tooMuch
		}
		if !f.readBatch(file, flushed, min(n, batch), skips) {
			return noRoom // turned off
		}
	}
	return atEnd
}

// reopen opens a file that was closed because too many were open. If it was deleted meanwhile, its entries are lost.
func (f *follower) reopen(file *followed) bool {
	open, err := f.pages.open(file.path)
	if err == nil && open.header.file != file.id {
		open.close()
		err = os.ErrNotExist
	}
	if err == nil {
		file.open, file.header = open, open.header
		f.opened++
		return true
	}
	if !os.IsNotExist(err) {
		file.dead = err.Error()
		return false
	}
	if file.unlinked { // else it was renamed, and the next look finds it
		f.s.lose(file.stream, file.header.entries-file.next, file.header.state != stateArchived)
		file.next = file.header.entries
	}
	return false
}

// readBatch queues at most n entries of file; false if the source was turned off. Each entry that is not queued takes one of skips.
func (f *follower) readBatch(file *followed, flushed []Position, n int, skips *int) bool {
	var c counts
	var again uint64
	out, size, now := make([]Entry, 0, n), 0, time.Now()
	for len(out) < n && size < maxQueuedBytes/4 && file.next < file.header.entries && *skips > 0 {
		r, err := file.open.entry(file.next, &c)
		if err != nil {
			bad := uint64(1)
			if errors.Is(err, errChain) {
				bad = file.header.entries - file.next
			}
			c.Bad += bad
			f.s.noteBad(file.path, bad, err)
			file.next += bad
			*skips--
			continue
		}
		file.next++
		if isFlushed(r, flushed) {
			again++
			*skips--
			continue
		}
		file.span.take(r)
		e := Entry{
			Record: r, Position: positionOf(file.id, file.next-1), Stream: file.stream, Local: file.local && isOf(r, f.s.cfg.Machine), Backlog: file.next <= file.backlog,
			file: file.id, after: file.next, volatile: file.volatile, bytes: 256, read: now,
		}
		for _, field := range r.Fields {
			e.bytes += len(field.Name) + len(field.Value) + 32
		}
		size += e.bytes
		out = append(out, e)
	}
	return f.s.put(file.stream, out, size, c, again, f.epoch)
}

// isOf reports whether r does not say that it is of another machine than this one.
func isOf(r Record, machine string) bool {
	id := r.Get("_MACHINE_ID")
	return id == "" || id == machine
}

// spans is what was read of a boot, by whether it was of the volatile journal and by the name of the folder.
type spans map[bool]map[string][]Position

// spans returns what was read of the volatile journal and, since the start, of the persistent one. A flush copies the former into the latter.
func (f *follower) spans() spans {
	out := spans{false: {}, true: {}}
	for _, file := range f.files {
		if file.span.First > 0 {
			out.add(file.volatile, filepath.Base(file.folder), file.span)
		}
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	for id, p := range f.s.state.Files {
		if p.First > 0 && f.files[id] == nil {
			out.add(true, filepath.Base(filepath.Dir(p.Stream)), p)
		}
	}
	return out
}

func (s spans) add(volatile bool, folder string, p Position) {
	s[volatile][folder] = append(s[volatile][folder], p)
}

// others returns what file may have copies of. While a flush runs, the copy may be found first: all that is in the volatile journal is newer
// than what was in the persistent one before.
func (s spans) others(file *followed) []Position {
	found := s[!file.volatile][filepath.Base(file.folder)]
	if !file.volatile {
		return found
	}
	out := slices.Clone(found)
	for i := range out {
		out[i].First = 1
	}
	return out
}

// isFlushed reports whether r is the copy of an entry that is in one of spans: a flush keeps the times of entries.
func isFlushed(r Record, spans []Position) bool {
	for _, p := range spans {
		if p.Boot == r.Boot && p.First <= r.Monotonic && r.Monotonic <= p.Last {
			return true
		}
	}
	return false
}

// roomFor returns how many entries of a stream may be queued.
func (s *Source) roomFor(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	switch {
	case st == nil || len(st.queue) == 0:
		return maxQueued
	case st.bytes >= maxQueuedBytes || s.bytes >= maxAllBytes:
		return 0
	}
	return maxQueued - min(len(st.queue), maxQueued)
}

// put queues entries of a stream, and counts; false if the source was turned off since epoch.
func (s *Source) put(name string, entries []Entry, size int, c counts, again uint64, epoch int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled || s.epoch != epoch {
		return false
	}
	s.stats.Bad += c.Bad
	s.stats.BadFields += c.Fields
	s.stats.Refused += c.Refused
	s.stats.Again += again
	if len(entries) == 0 {
		return true
	}
	st := s.streams[name]
	if st == nil {
		st = &stream{name: name}
		s.streams[name] = st
	}
	st.queue = append(st.queue, entries...)
	st.bytes += size
	s.bytes += size
	s.enqueue(st)
	return true
}

// publish notes what the files have, for State; false if the source was turned off.
func (f *follower) publish() bool {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled || s.epoch != f.epoch {
		return false
	}
	s.state.Looked = true
	s.stats.Unread = 0
	for id, file := range f.files {
		p := s.state.Files[id]
		p.Stream, p.Entries, p.Seqnums, p.Tail = file.stream, file.header.entries, file.header.seqnums, file.header.tailSeqnum
		p.Gone = time.Time{}
		if st := s.streams[file.stream]; st == nil || len(st.queue) == 0 && st.taken == nil {
			p.Next = file.next // also after entries that were skipped
		}
		if file.unlinked && file.ended() && p.unread() == 0 {
			p.Gone = time.Now().UTC()
			f.forget(file)
		}
		s.stats.Unread += p.unread()
		s.state.Files[id] = p
	}
	for id, p := range s.state.Files {
		if !p.Gone.IsZero() && time.Since(p.Gone) > forgetAfter {
			delete(s.state.Files, id)
		}
	}
	return true
}

// forget ends the reading of a file that is gone.
func (f *follower) forget(file *followed) {
	f.shut(file)
	delete(f.files, file.id)
	if f.paths[file.path] == file {
		delete(f.paths, file.path)
	}
}
