package journal

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	// settle is how long a file that was renamed must be unchanged to be finished although its header does not say so: journald was killed.
	settle    = 5 * time.Second
	maxOpen   = 256  // files at once; the others are opened when it is their turn
	maxSkips  = 4096 // damaged entries that one step skips
	maxPasses = 8    // over headers, to find them unchanged
)

// followed is a file that is followed.
type followed struct {
	found
	id       ID
	stream   string
	local    bool
	volatile bool
	open     *File // nil: closed
	header   header
	next     uint64 // index of the entry to read next
	backlog  uint64 // entries before it were there at first
	unlinked bool
	grown    time.Time // when it last had more entries, or was renamed
	dead     string    // why it cannot be read
	span     Position  // Boot, First and Last of what was read
}

// ended reports whether nothing is left to read, and nothing will come.
func (f *followed) ended() bool {
	if f.dead != "" {
		return true
	}
	return f.next >= f.header.entries && (f.header.state == stateArchived || (isRotated(f.path) || f.unlinked) && time.Since(f.grown) > settle)
}

// unread is a file that is not read, because of reason, or because it is a copy of another one.
type unread struct {
	found
	reason string
}

// follower is the state of the goroutine that reads.
type follower struct {
	s       *Source
	epoch   int
	pages   *pages
	files   map[ID]*followed
	paths   map[string]*followed
	bad     map[string]unread // files that are no journals, or copies
	listed  time.Time
	changed map[string]time.Time // times of the folders at the last look
	looked  bool                 // there was a look since the start
	opened  int
}

func newFollower(s *Source, epoch int) *follower {
	return &follower{s: s, epoch: epoch, pages: newPages(), files: map[ID]*followed{}, paths: map[string]*followed{}, bad: map[string]unread{}}
}

func (f *follower) close() {
	for _, file := range f.files {
		f.shut(file)
	}
}

func (f *follower) shut(file *followed) {
	if file.open != nil {
		file.open.close()
		file.open = nil
		f.opened--
	}
}

// step looks for new files and entries once and queues entries. more says that there is more to read than it read, ok is false if
// the source was turned off.
func (f *follower) step() (more, ok bool) {
	if f.isLookDue() {
		f.look()
	}
	f.refresh()
	if !f.looked {
		f.countVacuumed()
		f.looked = true
	}
	return f.fill()
}

// isLookDue reports whether a folder has changed, or the last look is relist ago.
func (f *follower) isLookDue() bool {
	due := time.Since(f.listed) >= relist
	for path, before := range f.changed {
		info, err := os.Stat(path)
		if err != nil || !info.ModTime().Equal(before) {
			return true
		}
	}
	return due
}

// look finds which files there are.
func (f *follower) look() {
	f.changed = map[string]time.Time{}
	note := func(path string) {
		if info, err := os.Stat(path); err == nil {
			f.changed[path] = info.ModTime()
		}
	}
	for _, dir := range f.s.cfg.Dirs {
		note(dir)
	}
	for _, file := range f.files {
		if _, noted := f.changed[file.folder]; !noted {
			note(file.folder)
		}
	}
	f.listed = time.Now()
	l := list(f.s.cfg.Dirs)
	present := map[ID]bool{}
	for _, at := range l.files {
		if file := f.identify(at); file != nil {
			present[file.id] = true
		}
	}
	for _, file := range f.files {
		if !present[file.id] && !file.unlinked && (l.folders[file.folder] || isGone(file.folder)) {
			file.unlinked, file.grown = true, time.Now()
		}
	}
	f.forgetBad(l)
	f.tell(l)
}

// isGone reports whether folder was deleted from its parent, which is still there.
func isGone(folder string) bool {
	_, parent := os.Stat(filepath.Dir(folder))
	_, err := os.Stat(folder)
	return parent == nil && os.IsNotExist(err)
}

// forgetBad forgets files that are not there any more.
func (f *follower) forgetBad(l listing) {
	there := map[string]bool{}
	for _, at := range l.files {
		there[at.path] = true
	}
	maps.DeleteFunc(f.bad, func(path string, _ unread) bool { return !there[path] })
}

// identify returns the file at a path, nil if it is not read. A file that was renamed is known by its id.
func (f *follower) identify(at found) *followed {
	if file := f.paths[at.path]; file != nil && os.SameFile(file.info, at.info) {
		file.unlinked = false
		return file
	}
	if before, isBad := f.bad[at.path]; isBad && os.SameFile(before.info, at.info) && before.info.ModTime().Equal(at.info.ModTime()) {
		return nil
	}
	open, err := f.pages.open(at.path)
	if err != nil {
		if !os.IsNotExist(err) {
			f.reject(at, err)
		}
		return nil
	}
	if file := f.files[open.header.file]; file != nil {
		open.close()
		return f.renamed(file, at)
	}
	file := &followed{found: at, id: open.header.file, stream: streamOf(at.path), header: open.header, open: open, grown: time.Now()}
	f.opened++
	file.volatile = f.s.cfg.Volatile != nil && f.s.cfg.Volatile(filepath.Dir(at.folder))
	machine := f.s.cfg.Machine
	base, _, _ := strings.Cut(filepath.Base(at.folder), ".")
	file.local = machine != "" && base == machine && file.header.machine.String() == machine && isSystemOwned(at.info)
	f.place(file)
	f.files[file.id], f.paths[at.path] = file, file
	delete(f.bad, at.path)
	if f.opened > maxOpen {
		f.shut(file)
	}
	return file
}

// renamed notes that file is at another path, unless that is a copy of it.
func (f *follower) renamed(file *followed, at found) *followed {
	if !os.SameFile(file.info, at.info) && !file.unlinked {
		if info, err := os.Lstat(file.path); err == nil && os.SameFile(info, file.info) {
			f.bad[at.path] = unread{found: at}
			return nil
		}
	}
	if f.paths[file.path] == file {
		delete(f.paths, file.path)
	}
	file.found, file.unlinked, file.grown = at, false, time.Now()
	f.paths[at.path] = file
	return file
}

// reject remembers a file that cannot be read.
func (f *follower) reject(at found, err error) {
	f.bad[at.path] = unread{at, err.Error()}
	f.s.log.WithError(err).Warn("a file of the journal is not read")
}

// place sets where the reading of a new file begins.
func (f *follower) place(file *followed) {
	s := f.s
	s.mu.Lock()
	saved, known := s.state.Files[file.id]
	looked, begun := s.state.Looked, uint64(max(0, s.state.Begun.UnixMicro()))
	s.mu.Unlock()
	file.backlog = file.header.entries
	switch {
	case known:
		file.next, file.span = saved.Next, saved
	case !looked:
		file.next = file.open.firstSince(begun)
		if file.volatile && file.next > 0 {
			if r, _, _, err := file.open.head(file.next - 1); err == nil {
				file.span = Position{Boot: r.Boot, First: 1, Last: r.Monotonic}
			}
		}
	case f.looked:
		file.backlog = 0
	}
	if known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == f.epoch && s.enabled {
		s.state.Files[file.id] = Position{Stream: file.stream, Next: file.next, Boot: file.span.Boot, First: file.span.First, Last: file.span.Last}
	}
}

// firstSince returns the index of the first entry that is not older than t, in microseconds since 1970.
func (f *File) firstSince(t uint64) uint64 {
	if f.tailRealtime < t {
		return f.entries
	}
	if f.headRealtime >= t {
		return 0
	}
	return uint64(sort.Search(int(f.entries), func(i int) bool {
		r, _, _, err := f.head(uint64(i))
		return err != nil || r.Realtime >= t
	}))
}

// refresh reads the headers of files that may have grown, until none has: then what they say belongs together.
func (f *follower) refresh() {
	for range maxPasses {
		grown := false
		for _, file := range f.files {
			if file.open == nil || file.dead != "" || file.header.state == stateArchived {
				continue
			}
			more, err := file.open.refresh()
			if err != nil {
				file.dead = err.Error()
				f.s.log.WithError(err).WithField("path", file.path).Warn("a file of the journal cannot be read any more")
				continue
			}
			file.header = file.open.header
			if more {
				grown, file.grown = true, time.Now()
			}
		}
		if !grown {
			return
		}
	}
}

// inOrder returns the files that are not read to their end, those of a stream in the order in which they were written, volatile ones first.
func (f *follower) inOrder() []*followed {
	out := make([]*followed, 0, len(f.files))
	for _, file := range f.files {
		if !file.ended() || file.open != nil {
			out = append(out, file)
		}
	}
	slices.SortFunc(out, func(a, b *followed) int {
		return cmp.Or(boolCompare(!a.volatile, !b.volatile), cmp.Compare(a.stream, b.stream), boolCompare(!isRotated(a.path), !isRotated(b.path)),
			cmp.Compare(a.header.headRealtime, b.header.headRealtime), cmp.Compare(a.header.headSeqnum, b.header.headSeqnum))
	})
	return out
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
