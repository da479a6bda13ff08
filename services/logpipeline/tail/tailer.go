package tail

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/health"

	"github.com/sirupsen/logrus"
)

const (
	// chunkBytes is how much is read from one file before another one is read.
	chunkBytes = 256 << 10
	// bytesPerPass is how much is read or unpacked before Next checks its context: a file
	// may hold any number of bytes and no line.
	bytesPerPass = 16 << 20
	// maxSpoolLine is the longest line of a spool file: a message of 64 KiB in base64, and
	// the fields of its record.
	maxSpoolLine = 128 << 10
)

// Tailer follows files. Make one with New. One goroutine calls Next and Done; State, Stats and
// Reload may be called from any.
type Tailer struct {
	log   logrus.FieldLogger
	begun time.Time

	mu       sync.Mutex // held by Next while it reads, not while it waits
	cfg      Config
	buf      []byte
	paths    map[string]*watchedPath
	order    []*watchedPath            // sorted by path
	turns    []*turns                  // of order
	cursor   int                       // index in turns of the one read last
	toCheck  []*watchedPath            // in the poll under way
	seen     map[string]bool           // patterns that were matched before
	owners   map[FileID]*watchedPath   // by which path a file is read or was read
	byTarget map[string][]*watchedPath // those that are links, by the file they lead to
	watch    *watcher
	nextPoll time.Time

	nextRelease time.Time // when the next rotated file may be finished; zero if there is none
	open        int
	perOwner    map[uint32]int   // paths that patterns have matched, as of the last poll
	leftOut     map[uint32]int64 // paths beyond MaxFiles, by owner; a new map for each poll
	changed     []*watchedPath   // since the last publish
	losses      health.Losses
	unpacked    [2]*logFile        // those being unpacked, see slot
	waiting     []*watchedPath     // for a place to unpack
	since       int64              // when the patterns were matched last before this start, nanoseconds
	matched     int64              // when they were matched before the poll under way, nanoseconds
	folders     map[string]*folder // listings by folder, see folderOf
	listed      int                // names in them
	unknown     unknownLosses
	counters

	polled                  bool // once
	pollBegan, earliestPoll time.Time
	ownTurnsRead            time.Time

	free      []*batch // whose lines are done
	published published
}

// New returns a Tailer that continues from saved, or starts from nothing if saved is nil. It
// opens nothing and starts nothing; the first Next does. The error says what is wrong
// with cfg or saved.
func New(cfg Config, saved *State, log logrus.FieldLogger) (*Tailer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t := &Tailer{
		cfg: cfg, log: log, begun: time.Now(),
		paths:    map[string]*watchedPath{},
		seen:     map[string]bool{},
		owners:   map[FileID]*watchedPath{},
		watch:    &watcher{woken: make(chan struct{}, 1)},
		counters: counters{lost: map[string]int64{}, refused: map[string]int64{}},
	}
	t.setMaxLine(cfg.MaxLine)
	t.since = t.begun.Add(-clockSlack).UnixNano()
	if saved != nil {
		if err := t.restore(*saved); err != nil {
			return nil, err
		}
	}
	t.publish()
	return t, nil
}

// restore takes over the paths of a saved state that are still configured.
func (t *Tailer) restore(saved State) error {
	if saved.Version != stateVersion {
		return fmt.Errorf("saved positions have version %d: this program reads version %d", saved.Version, stateVersion)
	}
	if saved.Polled > 0 {
		t.since = saved.Polled
	}
	for _, pattern := range saved.Patterns {
		if slices.Contains(t.cfg.Paths, pattern) || slices.Contains(t.cfg.Spools, pattern) {
			t.seen[pattern] = true
		}
	}
	for _, p := range saved.Paths {
		if spool := matchesAny(t.cfg.Spools, p.Path); spool || matchesAny(t.cfg.Paths, p.Path) {
			t.restorePath(p, spool)
		}
	}
	t.sortPaths()
	return nil
}

// setMaxLine sets how many bytes of a line are kept, and makes room for two such lines.
func (t *Tailer) setMaxLine(n int) {
	t.cfg.MaxLine = n
	t.buf = make([]byte, fingerprintLen+max(chunkBytes, 2*n, 2*maxSpoolLine))
}

// Next returns the next lines of one path, at least one and at most limit, in their order. Paths with lines take turns. Nothing more
// of the path is returned, and State stays before its lines, until Done. Next waits until there is a line; when ctx ends first it
// returns no line and the context's error, its only error: files that cannot be read are in Stats and are tried again. If ctx has
// ended already it returns the lines that are there, without waiting.
func (t *Tailer) Next(ctx context.Context, limit int) ([]Line, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		t.handleEvents()
		if t.poll() {
			t.publish() // where new paths begin
		}
		t.releaseRotated()
		lines, more := t.collect(max(1, limit))
		t.publish()
		if len(lines) > 0 {
			return lines, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if more || len(t.toCheck) > 0 {
			t.mu.Unlock() // for a Reload that waits
			t.mu.Lock()
			continue
		}
		t.wait(ctx)
	}
}

// Done says that lines, which Next returned, have taken effect. Their memory is used for others.
func (t *Tailer) Done(lines []Line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.paths[lines[0].Path]; p != nil && p.batch != nil && &p.batch.lines[0] == &lines[0] {
		t.release(p.batch)
		p.taken, p.batch = 0, nil
		t.markChanged(p)
	}
	t.publish()
}

// collect reads a chunk of each file in turn until one has lines or nothing is left. It reports whether it stopped before that, after
// bytesPerPass.
func (t *Tailer) collect(limit int) (lines []Line, more bool) {
	b := t.newBatch(limit)
	for idle := 0; idle < len(t.turns); {
		if b.work >= bytesPerPass {
			t.release(b)
			return nil, true
		}
		t.cursor = (t.cursor + 1) % len(t.turns)
		p := t.turns[t.cursor].next(t.ready)
		if p == nil {
			idle++
			continue
		}
		idle = 0
		if p.pending = t.readPath(p, b); len(b.lines) > 0 {
			p.taken, p.batch = int64(b.bytes+len(b.lines)), b
			return b.finish(), false
		}
	}
	t.release(b)
	return nil, false
}

// ready reports whether p may have lines for Next.
func (t *Tailer) ready(p *watchedPath) bool {
	return p.pending && p.taken == 0 && !t.waitsForEarlierSpool(p)
}

// Reload replaces Config.Paths, Config.MaxLine and Config.MaxFiles. Files that no path matches any more
// are closed, the others are read on undisturbed. The error says what is wrong with the
// new values; then nothing has changed.
func (t *Tailer) Reload(paths []string, maxLine, maxFiles int) error {
	cfg := Config{Paths: paths, MaxLine: maxLine, MaxFiles: maxFiles}
	if err := cfg.Validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	cfg = cfg.withDefaults()
	t.setMaxLine(cfg.MaxLine)
	t.cfg.MaxFiles = cfg.MaxFiles
	for pattern := range t.seen {
		if !slices.Contains(paths, pattern) && !slices.Contains(t.cfg.Spools, pattern) {
			delete(t.seen, pattern)
		}
	}
	t.cfg.Paths = slices.Clone(paths)
	for _, p := range slices.Clone(t.order) {
		if !p.spool && !matchesAny(paths, p.path) {
			t.removePath(p)
		}
	}
	t.nextPoll = time.Time{}
	t.publish()
	t.watch.wake()
	return nil
}

// Close closes all files. Next must not be running, nor be called again.
func (t *Tailer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.order {
		for _, f := range p.files {
			t.closeFile(f)
		}
	}
	return t.watch.close()
}
