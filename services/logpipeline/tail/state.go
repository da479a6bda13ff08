package tail

import "slices"

const stateVersion = 1

// State is the place a Tailer has reached in all files. It marshals to JSON, the same
// state always to the same bytes. Its fields are for the Tailer alone.
type State struct {
	Version int `json:"version"`
	// Patterns are the paths and patterns seen so far, sorted.
	Patterns []string `json:"patterns"`
	// Polled is when they were matched last, in nanoseconds since 1970.
	Polled int64 `json:"polled,omitempty"`
	// Paths are sorted by Path.
	Paths []PathState `json:"paths"`
}

// PathState is the place reached in the files found under one path.
type PathState struct {
	Path string `json:"path"`
	// Since is when there was no file yet, in nanoseconds since 1970; 0 once there
	// was one.
	Since int64 `json:"since,omitempty"`
	// Files are in reading order: rotated ones first, the current one last.
	Files []FileState `json:"files"`
	// Gens are the lines with which recent contents began, newest last.
	Gens []Generation `json:"generations,omitempty"`
}

// FileState is the place reached in one file.
type FileState struct {
	ID     FileID      `json:"id"`               // what positions are built from
	At     FileID      `json:"at"`               // where the bytes are: ID, or a copy of it
	Real   string      `json:"real"`             // path of At when last seen, links resolved
	Offset int64       `json:"offset"`           // next byte to read
	Head   Fingerprint `json:"head"`             // of the first bytes
	Tail   Fingerprint `json:"tail"`             // of the bytes before Offset
	Packed bool        `json:"packed,omitempty"` // At is a compressed file
	Size   int64       `json:"size,omitempty"`   // bytes of the content, when last seen
	End    Fingerprint `json:"end,omitzero"`     // of the bytes before Size, while there are unread ones
	Chain  uint64      `json:"chain,omitempty"`  // see position.go
	Early  int         `json:"early,omitempty"`  // lines of which Chain is, at most maxEarly
	MTime  int64       `json:"mtime"`            // nanoseconds, when last read
	Seen   int64       `json:"seen,omitempty"`   // its mtime at the last stat, read or not
	Skip   bool        `json:"skip"`             // Offset is inside an over-long line
	Form   string      `json:"form,omitempty"`   // of the content, see form.go
	Done   bool        `json:"done"`             // rotated and read to its end
	Copy   bool        `json:"copy,omitempty"`   // Done because what is in At was read from another file
}

// Fingerprint is a fingerprint of Len bytes.
type Fingerprint struct {
	Len int    `json:"len"`
	Sum string `json:"sum"`
}

// Generation counts how often a content began with the same lines; Head is their hash.
type Generation struct {
	Head string `json:"head"`
	N    int    `json:"n"`
}

// Consumed reports whether all lines are done that are in the first size bytes of the
// file found under path. It is false for a path the state does not know.
func (s State) Consumed(path string, size int64) bool {
	for _, p := range s.Paths {
		if p.Path == path && len(p.Files) > 0 {
			return p.Files[len(p.Files)-1].Offset >= size
		}
	}
	return false
}

// state returns the files of p in reading order, finished ones first.
func (p *watchedPath) state() PathState {
	files := slices.Clone(p.finished)
	for _, f := range p.files {
		files = append(files, f.FileState)
	}
	since := p.waitingSince
	if len(files) > 0 {
		since = 0
	}
	return PathState{Path: p.path, Since: since, Files: files, Gens: slices.Clone(p.gens)}
}

// restorePath starts with the files of a saved path: all but the last were rotated.
func (t *Tailer) restorePath(saved PathState, spool bool) {
	p := newPath(saved.Path, spool)
	p.waitingSince = saved.Since
	p.gens = saved.Gens[max(0, len(saved.Gens)-maxEarlyKept):]
	for i, st := range saved.Files {
		st.sanitize()
		f := &logFile{FileState: st, restored: true}
		t.own(p, f)
		if st.Done {
			p.finished = append(p.finished, st)
			continue
		}
		switch last := i == len(saved.Files)-1; {
		case last:
			f.rotation = following
		case st.At != st.ID:
			f.rotation = copied
		default:
			f.rotation = rotated
		}
		f.setPrefix(p)
		p.files = append(p.files, f)
	}
	p.restoredAtEnd = !slices.ContainsFunc(p.files, func(f *logFile) bool { return f.Size > 0 || f.Offset > 0 })
	t.paths[p.path] = p
	t.markChanged(p)
}
