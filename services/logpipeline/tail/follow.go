package tail

import (
	"errors"
	"io/fs"
	"slices"
	"time"
)

// follow is one path and what is read under it: rotated files that are not
// finished, in order, and the current one last.
type follow struct {
	path, source string
	spool        bool
	queue        []*source
	done         []FileState // finished files that may still lie around
	dirty        bool        // there may be something to read
	last         bool        // of a spool: no later file exists
	atEnd        bool        // what is there now is old
	absent       time.Time   // nothing to follow since
	since        int64       // when no file had been seen yet, nanoseconds; 0 if unknown
	reason       string      // why it is not followed, for the operator
	missing      bool        // there is nothing under the path
	lines        int64
}

func newFollow(path string, spool bool) *follow {
	return &follow{path: path, source: "file:" + path, spool: spool, dirty: true, last: true}
}

// fault notes why f is not followed; that it is not there yet is no fault.
func (f *follow) fault(err error) {
	f.missing, f.reason = errors.Is(err, fs.ErrNotExist), ""
	if !f.missing {
		f.reason = because(f.path, err)
	}
}

func (f *follow) fine() { f.missing, f.reason = false, "" }

// current returns the file found under the path, or nil.
func (f *follow) current() *source {
	if n := len(f.queue); n > 0 && !f.queue[n-1].rotated {
		return f.queue[n-1]
	}
	return nil
}

// passed reports whether the file in is finished and has not grown since.
func (f *follow) passed(in info) bool {
	return slices.ContainsFunc(f.done, func(d FileState) bool { return d.At == in.id && in.size <= d.Offset })
}

// revive takes a finished file back, if it is one.
func (f *follow) revive(id FileID) *source {
	i := slices.IndexFunc(f.done, func(d FileState) bool { return d.At == id })
	if i < 0 {
		return nil
	}
	s := &source{FileState: f.done[i]}
	s.Done = false
	s.name()
	f.done = slices.Delete(f.done, i, i+1)
	return s
}

// state returns the files of f in reading order, finished ones first.
func (f *follow) state() PathState {
	files := slices.Clone(f.done)
	for _, s := range f.queue {
		st := s.FileState
		st.Gens = slices.Clone(st.Gens)
		files = append(files, st)
	}
	since := f.since
	if len(files) > 0 {
		since = 0
	}
	return PathState{Path: f.path, Since: since, Files: files}
}

// finish notes that s was read to its end.
func (f *follow) finish(s *source) {
	s.Done = true
	f.done = append(f.done, s.FileState)
	f.queue = slices.DeleteFunc(f.queue, func(x *source) bool { return x == s })
}
