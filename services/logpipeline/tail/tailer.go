package tail

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	stateVersion = 1
	// chunkBytes is how much is read from one file before it is another's turn.
	chunkBytes = 256 << 10
	// lookUp is how much is read before Read looks whether its time is over: a file may
	// hold any number of bytes and no line.
	lookUp = 16 << 20
	// spoolLine is the longest line of a spool file: 64 KiB of bytes in base64, and what
	// is around them.
	spoolLine = 128 << 10
	// maxOpen bounds the files kept open. Beyond it a file is opened for each read.
	maxOpen = 1000
)

// Tailer follows files. Make one with New. One goroutine reads; the other
// methods may be called from any goroutine unless they say otherwise.
type Tailer struct {
	log logrus.FieldLogger

	mu       sync.Mutex // held by Read while it works, not while it waits
	cfg      Config
	buf      []byte
	follows  map[string]*follow
	order    []*follow // sorted by path
	cursor   int       // whose turn it is
	seen     map[string]bool
	owners   map[FileID]*follow
	byReal   map[string][]*follow // followed through a link
	watch    *watch
	nextPoll time.Time
	open     int
	capped   bool // MaxFiles reached
	counters
}

// counters are what Stats adds up.
type counters struct {
	lines, bytes, truncated, rotations int64
	lost                               map[string]int64
}

// New returns a Tailer that goes on from saved, or begins anew if saved is nil.
// It opens nothing and starts nothing; the first Read does. The error says what is
// wrong with cfg or saved.
func New(cfg Config, saved *State, log logrus.FieldLogger) (*Tailer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t := &Tailer{
		cfg: cfg, log: log,
		follows:  map[string]*follow{},
		seen:     map[string]bool{},
		owners:   map[FileID]*follow{},
		watch:    &watch{},
		counters: counters{lost: map[string]int64{}},
	}
	t.resize(cfg.MaxLine)
	if saved == nil {
		return t, nil
	}
	err := t.restore(*saved)
	return t, err
}

// resize sets how many bytes of a line are kept, and makes room for two such lines.
func (t *Tailer) resize(maxLine int) {
	t.cfg.MaxLine = maxLine
	t.buf = make([]byte, printLen+max(chunkBytes, 2*maxLine, 2*spoolLine))
}

// Read returns the next lines, at least one and at most limit, in the order of
// each file. It waits until there is one; when ctx ends first it returns no line
// and the context's error, the only error there is: files that cannot be read are
// in Stats and are tried again. If ctx has ended already it only looks and does not
// wait.
func (t *Tailer) Read(ctx context.Context, limit int) ([]Line, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		t.hear()
		if !time.Now().Before(t.nextPoll) {
			t.poll()
		}
		lines, rest := t.collect(max(1, limit))
		if len(lines) > 0 {
			return lines, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if rest {
			t.mu.Unlock() // others have their turn
			t.mu.Lock()
			continue
		}
		t.wait(ctx)
	}
}

// collect gives every file with something to read its turns until the batch is
// full or nothing is left. It reports whether it gave up before that.
func (t *Tailer) collect(limit int) (lines []Line, rest bool) {
	b, until := newBatch(limit), t.bytes+lookUp
	for idle := 0; idle < len(t.order) && !b.full(); {
		if t.bytes >= until {
			return b.finish(), true
		}
		t.cursor = (t.cursor + 1) % len(t.order)
		f := t.order[t.cursor]
		if f.dirty && !t.waitsForEarlier(f) {
			f.dirty = t.turn(f, b)
			idle = 0
			continue
		}
		idle++
	}
	return b.finish(), false
}

// State returns the place after all lines that Read has returned so far. Ask
// when their effects are done, store it, and give it to the next New.
func (t *Tailer) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := State{Version: stateVersion, Patterns: make([]string, 0, len(t.seen)), Paths: make([]PathState, 0, len(t.order))}
	for p := range t.seen {
		st.Patterns = append(st.Patterns, p)
	}
	slices.Sort(st.Patterns)
	for _, f := range t.order {
		if p := f.state(); len(p.Files) > 0 || p.Since > 0 {
			st.Paths = append(st.Paths, p)
		}
	}
	return st
}

// restore takes over what a saved state knows about paths still configured.
func (t *Tailer) restore(st State) error {
	if st.Version != stateVersion {
		return fmt.Errorf("saved positions have version %d: this program reads version %d", st.Version, stateVersion)
	}
	for _, p := range st.Patterns {
		if slices.Contains(t.cfg.Paths, p) || slices.Contains(t.cfg.Spools, p) {
			t.seen[p] = true
		}
	}
	for _, p := range st.Paths {
		if spool := matches(t.cfg.Spools, p.Path); spool || matches(t.cfg.Paths, p.Path) {
			t.restorePath(p, spool)
		}
	}
	t.sort()
	return nil
}

func (t *Tailer) restorePath(p PathState, spool bool) {
	f := newFollow(p.Path, spool)
	f.since = p.Since
	for i, st := range p.Files {
		st.check()
		t.own(f, st)
		if st.Done {
			f.done = append(f.done, st)
			continue
		}
		s := &source{FileState: st, rotated: i < len(p.Files)-1}
		s.name()
		f.queue = append(f.queue, s)
	}
	t.follows[f.path] = f
}

// Reload replaces Config.Paths and Config.MaxLine. Files that no path names any more
// are dropped, the others go on undisturbed. The error says what is wrong with them;
// then nothing has changed.
func (t *Tailer) Reload(paths []string, maxLine int) error {
	cfg := Config{Paths: paths, MaxLine: maxLine}
	if err := cfg.Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resize(cfg.withDefaults().MaxLine)
	for p := range t.seen {
		if !slices.Contains(paths, p) && !slices.Contains(t.cfg.Spools, p) {
			delete(t.seen, p)
		}
	}
	t.cfg.Paths = slices.Clone(paths)
	for _, f := range slices.Clone(t.order) {
		if !f.spool && !matches(paths, f.path) {
			t.drop(f)
		}
	}
	t.nextPoll = time.Time{}
	t.watch.wake()
	return nil
}

// Close closes all files. Read must not be running, nor be called again.
func (t *Tailer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.order {
		for _, s := range f.queue {
			t.shut(s)
		}
	}
	return t.watch.close()
}

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := filepath.Match(p, path)
		return p == path || ok && err == nil
	})
}
