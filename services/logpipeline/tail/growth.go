package tail

import "time"

const (
	// markEvery is how far apart two marks are at least, besides a part of the time they span: so there are few.
	markEvery    = 100 * time.Millisecond
	marksOfATime = 32
)

// growth remembers when the files of a path had grown how far, so that the age of the oldest byte that is not done is known. Bytes are
// counted over all files of the path.
type growth struct {
	marks []mark // of bytes that are not done, oldest first
}

// mark says that the bytes up to end were there at a time.
type mark struct {
	end int64
	at  time.Time
}

// observe notes that the bytes up to done are done and lag more are written.
func (g *growth) observe(done, lag int64, now time.Time) {
	for len(g.marks) > 0 && (lag <= 0 || g.marks[0].end <= done) {
		g.marks = g.marks[1:]
	}
	n := len(g.marks)
	switch end := done + lag; {
	case lag <= 0 || n > 0 && end <= g.marks[n-1].end:
	case n > 0 && now.Sub(g.marks[n-1].at) < max(markEvery, now.Sub(g.marks[0].at)/marksOfATime):
		g.marks[n-1].end = end
	default:
		g.marks = append(g.marks, mark{end, now})
	}
}

// age returns how long the oldest byte that is not done has been there, as far as that was seen; 0 if there is none.
func (g *growth) age(now time.Time) time.Duration {
	if len(g.marks) == 0 {
		return 0
	}
	return now.Sub(g.marks[0].at)
}
