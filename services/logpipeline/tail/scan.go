package tail

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// perPoll is how many files one Poll interval may look at; with more files
	// the interval grows, and change notification does the rest.
	perPoll = 1000
	// forget is how long a path that only a pattern named may be absent.
	forget = 10 * time.Minute
	// clockSlack is more than the clock of a filesystem may be behind ours.
	clockSlack = 20 * time.Millisecond
)

// poll matches the patterns anew and looks at every path.
func (t *Tailer) poll() {
	t.scan()
	for _, f := range slices.Clone(t.order) {
		t.check(f)
	}
	t.chain()
	t.watch.follow(t.folders())
	t.nextPoll = time.Now().Add(t.cfg.Poll * time.Duration(1+len(t.order)/perPoll))
}

// scan adds a follow for each path that the patterns name and that has none.
func (t *Tailer) scan() {
	t.capped = false
	for _, p := range t.cfg.Paths {
		t.scanPattern(p, false)
	}
	for _, p := range t.cfg.Spools {
		t.scanPattern(p, true)
	}
	t.sort()
}

func (t *Tailer) scanPattern(pattern string, spool bool) {
	fresh := !t.seen[pattern]
	t.seen[pattern] = true
	for _, path := range expand(pattern) {
		if t.follows[path] != nil {
			continue
		}
		if len(t.follows) >= t.cfg.MaxFiles && !spool {
			t.capped = true
			return
		}
		f := newFollow(path, spool)
		f.atEnd = fresh && !spool && t.cfg.From == FromEnd
		t.follows[path] = f
	}
}

// expand returns the paths a pattern names; a path without a pattern names itself,
// there or not.
func expand(pattern string) []string {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{filepath.Clean(pattern)}
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil // checked before
	}
	return paths
}

func (t *Tailer) sort() {
	t.order = t.order[:0]
	for _, f := range t.follows {
		t.order = append(t.order, f)
	}
	slices.SortFunc(t.order, func(a, b *follow) int { return cmp.Compare(a.path, b.path) })
}

// chain tells every spool file but the newest that it is not the last.
func (t *Tailer) chain() {
	var newest *follow
	for _, f := range t.order {
		if !f.spool {
			continue
		}
		f.last = true
		if newest != nil && filepath.Dir(newest.path) == filepath.Dir(f.path) {
			newest.last = false
			newest.dirty = newest.dirty || len(newest.queue) > 0
		}
		newest = f
	}
}

// waitsForEarlier reports whether f is a spool file and one before it is unread.
func (t *Tailer) waitsForEarlier(f *follow) bool {
	if !f.spool {
		return false
	}
	for _, g := range t.order {
		if g == f {
			return false
		}
		if g.spool && len(g.queue) > 0 && filepath.Dir(g.path) == filepath.Dir(f.path) {
			return true
		}
	}
	return false
}

// check looks at what is under the path of f.
func (t *Tailer) check(f *follow) {
	in, err := look(f.path)
	if err == nil && in.kind != regular {
		err = &notRegularError{f.path, in.kind}
	}
	if err != nil {
		f.fault(err)
		t.absent(f, err)
		return
	}
	f.absent = time.Time{}
	t.present(f, in)
	if s := f.current(); len(f.queue) != 1 || s == nil || in.size != s.Offset || in.mtime != s.MTime || f.spool {
		t.touch(f)
	}
}

// present deals with the regular file in under the path of f.
func (t *Tailer) present(f *follow, in info) {
	s := f.current()
	if s != nil && s.At == in.id {
		if s.file != nil {
			f.fine()
		}
		return
	}
	if g := t.owner(in.id, f.path); g != nil && g != f {
		t.yield(f)
		return
	}
	if s == nil && t.resume(f, in) {
		return
	}
	if s == nil && !f.atEnd && t.rotatedFrom(f, in) {
		f.fine()
		return
	}
	t.replace(f, in)
}

// yield gives up the path of f: its file is read under another path.
func (t *Tailer) yield(f *follow) {
	f.fine()
	f.atEnd = false
	if s := f.current(); s != nil {
		t.displace(f, s)
	}
}

// resume goes on with a file that was here before, was away, and is back.
func (t *Tailer) resume(f *follow, in info) bool {
	for _, s := range f.queue {
		if s.At == in.id {
			f.queue = append(slices.DeleteFunc(f.queue, func(x *source) bool { return x == s }), s)
			s.rotated = false
			return true
		}
	}
	if f.spool && f.passed(in) {
		return true
	}
	if s := f.revive(in.id); s != nil {
		f.queue = append(f.queue, s)
		return true
	}
	return false
}

// absent deals with a path under which there is nothing to follow.
func (t *Tailer) absent(f *follow, err error) {
	f.atEnd = false
	if !errors.Is(err, fs.ErrNotExist) && !isOdd(err) {
		return // it may well be there
	}
	if s := f.current(); s != nil {
		t.displace(f, s)
	}
	if f.absent.IsZero() {
		f.absent = time.Now()
	}
	literal := slices.Contains(t.cfg.Paths, f.path)
	if literal && f.newest() == nil {
		f.since = time.Now().Add(-clockSlack).UnixNano()
	}
	if f.spool || !literal && len(f.queue) == 0 && time.Since(f.absent) > forget {
		t.drop(f)
	}
}

func isOdd(err error) bool {
	var odd *notRegularError
	return errors.As(err, &odd)
}

// touch marks f as worth reading if a file of it may have changed.
func (t *Tailer) touch(f *follow) {
	for _, s := range f.queue {
		s.trusted = false
	}
	f.dirty = f.dirty || len(f.queue) > 0
}

// drop forgets f.
func (t *Tailer) drop(f *follow) {
	for _, s := range f.queue {
		t.shut(s)
	}
	for id, g := range t.owners {
		if g == f {
			delete(t.owners, id)
		}
	}
	delete(t.follows, f.path)
	t.sort()
	t.cursor = 0
}

// own notes that the files of st are read under f.
func (t *Tailer) own(f *follow, st FileState) {
	t.owners[st.ID] = f
	t.owners[st.At] = f
}

// owner returns who reads the file id, found at path. Without a creation time an
// inode may be in its second life, so then the content must fit, too.
func (t *Tailer) owner(id FileID, path string) *follow {
	f := t.owners[id]
	if f == nil || id.Birth != 0 {
		return f
	}
	for _, st := range f.state().Files {
		if st.At == id && st.Offset > 0 && fitsPath(&st, path) {
			return f
		}
	}
	return nil
}

// rotatedFrom reports whether what appeared under the path of f is read, or was,
// under the path it had before a rotation, or is a copy being made by a rotation
// program that is about to truncate the original. It is then not news; if it turns
// out to be a file of its own, a later look says so.
func (t *Tailer) rotatedFrom(f *follow, in info) bool {
	g := t.base(f)
	if g == nil {
		return false
	}
	t.review(f, g)
	if t.owner(in.id, f.path) != nil {
		return true
	}
	return g.current() != nil && isCopyOf(f.path, in, g.path, g.current())
}

// base returns the followed path that the path of f is a rotation of, or nil.
func (t *Tailer) base(f *follow) *follow {
	for base := f.path; ; {
		i := strings.LastIndexAny(base, ".-_~")
		if i <= len(filepath.Dir(base)) {
			return nil
		}
		base = base[:i]
		if g := t.follows[base]; g != nil {
			return g
		}
	}
}

// review looks whether the current file of g was truncated, before f, its
// rotation by name, is taken for a file of its own.
func (t *Tailer) review(f, g *follow) {
	s := g.current()
	if s == nil || !isNumbered(f.path, g.path) || !t.ensure(g, s) {
		return
	}
	in, err := lookFile(s.file)
	if err != nil {
		return
	}
	if !s.fits(s.file, in.size) {
		t.restart(g, s)
		return
	}
	s.novel, s.swept = false, 0
	t.sweep(g, s, in)
	g.dirty = true
}

func isCopyOf(path string, in info, original string, s *source) bool {
	now, err := look(original)
	if err != nil {
		return false
	}
	if !fitsPath(&s.FileState, original) {
		return s.Offset > 0 && fitsPath(&s.FileState, path) // truncated, and not yet noticed
	}
	return in.size <= now.size && sameBytes(path, original, in.size)
}

// sameBytes compares the first and the last bytes of two files up to size.
func sameBytes(a, b string, size int64) bool {
	fa, _, err := open(a)
	if err != nil {
		return false
	}
	defer release(fa)
	fb, _, err := open(b)
	if err != nil {
		return false
	}
	defer release(fb)
	for _, at := range []int64{0, max(0, size-printLen)} {
		pa, errA := printAt(fa, at, size)
		pb, errB := printAt(fb, at, size)
		if errA != nil || errB != nil || pa != pb {
			return false
		}
	}
	return true
}

func printAt(f *os.File, at, size int64) (Fingerprint, error) {
	b := make([]byte, min(printLen, size-at))
	_, err := f.ReadAt(b, at)
	return printOf(b), err
}
