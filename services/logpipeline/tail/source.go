package tail

import (
	"os"
	"strconv"
	"time"
)

// maxGens bounds how many first lines of truncated contents are remembered.
const maxGens = 8

// source is one file that is being read: the current one of its path, or one that
// was rotated and is not finished.
type source struct {
	FileState
	file    *os.File
	size    int64     // when last looked at
	known   int64     // size of the content that was compared last
	rotated bool      // no longer found under its path
	quiet   time.Time // rotated and at its end since
	prefix  string    // first part of the positions of its lines
	novel   bool      // without a past: nothing of it can have been copied away
	swept   int64     // mtime at which copies of unread contents were looked for
	trusted bool      // the beginning was compared since the last change
}

// newSource begins with a file nobody has read.
func newSource(in info, real string) *source {
	return &source{FileState: FileState{ID: in.id, At: in.id, Real: real, MTime: in.mtime}, size: in.size}
}

// begin notes the first line of a content whose first bytes are b. From here on
// lines have positions.
func (s *source) begin(b []byte) {
	s.Head = headOf(b)
	gen := Generation{Head: s.Head.Sum}
	kept := make([]Generation, 0, len(s.Gens)+1)
	for _, g := range s.Gens {
		if g.Head == gen.Head {
			gen.N = g.N + 1
			continue
		}
		kept = append(kept, g)
	}
	kept = append(kept, gen)
	s.Gens = kept[max(0, len(kept)-maxGens):]
	s.name()
}

// name sets the first part of the positions: the file, and which of the contents
// it had over time. The contents go by their first line and not by a counter,
// because after a crash nobody knows how often the file was truncated.
func (s *source) name() {
	if s.Head.Len == 0 || len(s.Gens) == 0 {
		s.prefix = ""
		return
	}
	g := s.Gens[len(s.Gens)-1]
	s.prefix = s.ID.String() + "." + g.Head[:min(16, len(g.Head))] + "-" + strconv.Itoa(g.N) + "."
}

// restart forgets the content: the file was truncated.
func (s *source) restart() {
	s.Offset, s.Head, s.Tail, s.Skip, s.prefix, s.trusted = 0, Fingerprint{}, Fingerprint{}, false, "", false
	s.quiet, s.known, s.novel, s.swept = time.Time{}, 0, false, 0
}

func (s *source) lag() int64 { return max(0, s.size-s.Offset) }
