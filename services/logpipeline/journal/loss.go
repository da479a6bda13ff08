package journal

import (
	"path/filepath"
	"time"
)

// countVacuumed counts, after the first look, entries that were deleted while nobody read. If a file that was not read to its end is still
// there, nothing newer was deleted: the oldest files are deleted first. Else the sequence numbers, which one counter gives to
// all streams of a folder, say how many entries there were since; those that are still there are not lost.
func (f *follower) countVacuumed() {
	s := f.s
	s.mu.Lock()
	saved := s.state.clone().Files
	s.mu.Unlock()
	now := map[string][]*followed{}
	for _, file := range f.files {
		now[file.folder] = append(now[file.folder], file)
	}
	for folder, before := range byFolder(saved) {
		var missing uint64
		gone := false
		for id, p := range before {
			if f.files[id] == nil && p.Gone.IsZero() {
				missing += p.unread()
				gone = true
				p.Next, p.Gone = p.Entries, time.Now().UTC()
				s.mu.Lock()
				s.state.Files[id] = p
				s.mu.Unlock()
			}
		}
		if !gone || f.wasFlushed(folder) {
			continue
		}
		if lost, known := vacuumed(before, now[folder]); known {
			s.lose(folder, max(lost, missing), false)
		} else {
			s.lose(folder, missing, true)
		}
	}
}

func byFolder(files map[ID]Position) map[string]map[ID]Position {
	out := map[string]map[ID]Position{}
	for id, p := range files {
		folder := filepath.Dir(p.Stream)
		if out[folder] == nil {
			out[folder] = map[ID]Position{}
		}
		out[folder][id] = p
	}
	return out
}

// wasFlushed reports whether the files of a folder of the volatile journal may have been copied elsewhere before they were deleted.
func (f *follower) wasFlushed(folder string) bool {
	if f.s.cfg.Volatile == nil || !f.s.cfg.Volatile(filepath.Dir(folder)) {
		return false
	}
	for _, file := range f.files {
		if !file.volatile && filepath.Base(file.folder) == filepath.Base(folder) {
			return true
		}
	}
	return false
}

// vacuumed returns how many entries of a folder were deleted since the positions before, unread; false if the numbers do not tell.
func vacuumed(before map[ID]Position, now []*followed) (uint64, bool) {
	var unreadBefore, tailBefore, unreadNow, tailNow uint64
	counters := map[ID]bool{}
	for _, p := range before {
		if p.Gone.IsZero() {
			unreadBefore += p.unread()
		}
		tailBefore = max(tailBefore, p.Tail)
		counters[p.Seqnums] = true
	}
	var counter ID
	for _, file := range now {
		unreadNow += file.header.entries - min(file.next, file.header.entries)
		if file.header.tailSeqnum > tailNow {
			tailNow, counter = file.header.tailSeqnum, file.header.seqnums
		}
	}
	if tailNow < tailBefore || !counters[counter] {
		return 0, false
	}
	written := tailNow - tailBefore + unreadBefore
	return written - min(written, unreadNow), true
}

// lose counts n entries of a stream or folder that were deleted before they were read; more says that there may have been more.
func (s *Source) lose(of string, n uint64, more bool) {
	if n == 0 && !more {
		return
	}
	s.mu.Lock()
	s.state.Vacuumed += n
	if more {
		s.state.VacuumedUnknown++
	}
	s.mu.Unlock()
	s.losses.Add("entries of the journal were deleted before they were read", of, int64(max(n, 1)), time.Now())
	s.told("lost_entries_vacuumed", max(n, 1))
	s.log.WithField("journal", of).WithField("entries", n).WithField("number_known", !more).Error("the journal was vacuumed before it was read")
}

// noteBad tells of damaged entries, the first time.
func (s *Source) noteBad(path string, n uint64, err error) {
	s.losses.Add("entries of the journal are damaged", path, int64(n), time.Now())
	s.told("lost_entries_damaged", n)
	s.log.WithError(err).WithField("path", path).WithField("entries", n).Debug("damaged entries of the journal skipped")
}

func (s *Source) told(cause string, n uint64) {
	if s.cfg.OnLoss != nil {
		s.cfg.OnLoss(cause, n)
	}
}
