package journal

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/health"
)

const (
	// poll is how often headers are read: not every write to a mapped file raises an event of inotify.
	poll = 50 * time.Millisecond
	// relist is the longest time between two looks into the folders. Their times of change tell of most changes before.
	relist = time.Second

	// maxQueued bounds the entries of a stream that wait, maxQueuedBytes their text, maxAllBytes that of all, of which each stream may queue one
	// entry even so. A full queue is not filled: the rest stays in the files.
	maxQueued      = 1024
	maxQueuedBytes = 1 << 20
	maxAllBytes    = 32 << 20
	maxNextBytes   = 256 << 10 // bounds the text that Next returns, but for its last entry
	entryBytes     = 8         // MaxEntry is so many times MaxField
)

// Config says which journals are read. Wake is called whenever Next may have entries; it must not block.
type Config struct {
	Dirs     []string                     // folders with a folder for each machine
	Volatile func(string) bool            // whether a flush copies what is in this folder of Dirs to another one
	Machine  string                       // id of this machine, 32 hex digits; empty: not known, and no entry is local
	Begun    time.Time                    // of a source without a saved state: entries before it are not read
	MaxField int                          // bytes kept of a value
	OnLoss   func(cause string, n uint64) // called when entries are lost; it must not block; nil: not
	Wake     func()
}

// Entry is one entry of a journal.
type Entry struct {
	Record
	// Position identifies the entry: read again it has the same one, no other has it.
	Position string
	// Stream is the path of the files of the entry without their suffix, as /var/log/journal/<machine>/system.
	Stream string
	// Local says that journald of this machine wrote it: then the fields whose names begin with an underscore are proven.
	Local bool
	// Backlog says that it was there when the Source first saw its file.
	Backlog bool

	file     ID
	after    uint64 // the Next of its file when it is done
	read     time.Time
	volatile bool
	bytes    int
}

// Get returns the first value of a field, "" if there is none.
func (r Record) Get(name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Source follows the journals in some folders. Make one with New. One goroutine calls Next and Done; the other methods may be called from
// any.
type Source struct {
	cfg      Config
	log      logrus.FieldLogger
	maxField atomic.Int64
	changed  chan struct{} // signals that enabled was set; holds one
	room     chan struct{} // signals that there is room in a queue; holds one

	mu      sync.Mutex
	enabled bool
	epoch   int       // how often it was enabled
	started time.Time // when it was enabled
	state   State
	streams map[string]*stream
	ready   []*stream // that have entries, none of which is taken; in the order of their turns
	bytes   int       // of the entries in all queues
	stats   Stats     // its counters
	losses  health.Losses
}

// stream is the entries that one journald wrote to files that follow each other.
type stream struct {
	name         string
	queue, taken []Entry
	bytes        int
	isReady      bool
}

// New returns a disabled Source that goes on from saved, or begins at cfg.Begun if saved is nil. It opens nothing. The error is for a
// saved state of another version.
func New(cfg Config, saved *State, log logrus.FieldLogger) (*Source, error) {
	s := &Source{
		cfg: cfg, log: log, changed: make(chan struct{}, 1), room: make(chan struct{}, 1), streams: map[string]*stream{},
		state: State{Version: stateVersion, Begun: cfg.Begun.UTC(), Files: map[ID]Position{}},
	}
	s.SetMaxField(cfg.MaxField)
	if saved == nil {
		return s, nil
	}
	if saved.Version != stateVersion {
		return nil, fmt.Errorf("saved positions in the journal have version %d: this program reads version %d", saved.Version, stateVersion)
	}
	s.state = saved.clone()
	if s.state.Files == nil {
		s.state.Files = map[ID]Position{}
	}
	return s, nil
}

// SetMaxField cuts values beyond n bytes, of entries that are read from now on.
func (s *Source) SetMaxField(n int) { s.maxField.Store(int64(n)) }

// SetEnabled turns the source on or off. Turned off it forgets all positions; turned on again it reads what is written from then on.
func (s *Source) SetEnabled(enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enabled == enabled {
		return
	}
	s.enabled = enabled
	if enabled {
		s.epoch++
		s.started = time.Now()
	} else {
		s.state = State{Version: stateVersion, Files: map[ID]Position{}}
		s.streams, s.ready, s.bytes = map[string]*stream{}, nil, 0
	}
	if s.state.Begun.IsZero() {
		s.state.Begun = time.Now().UTC()
	}
	signal(s.changed)
}

// Run reads until ctx ends. What cannot be read is in Stats, never an error.
func (s *Source) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.Lock()
		enabled, epoch := s.enabled, s.epoch
		s.mu.Unlock()
		if enabled {
			s.follow(ctx, epoch)
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		}
	}
	return nil
}

// follow reads until ctx ends or the source is turned off.
func (s *Source) follow(ctx context.Context, epoch int) {
	f := newFollower(s, epoch)
	defer f.close()
	for ctx.Err() == nil {
		more, ok := f.step()
		if !ok {
			return
		}
		wait := time.NewTimer(poll)
		if more {
			wait.Reset(0)
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-s.room:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// Next returns the entries of one stream that wait, at most limit and about 256 KiB, in order; none if none wait. Streams take turns. No
// more of the stream are returned, and State stays before these, until Done. It does not wait.
func (s *Source) Next(limit int) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 {
		return nil
	}
	st := s.ready[0]
	s.ready, st.isReady = s.ready[1:], false
	n, size := 0, 0
	for n < min(limit, len(st.queue)) && size < maxNextBytes {
		size += st.queue[n].bytes
		n++
	}
	st.taken, st.queue = st.queue[:n:n], st.queue[n:]
	st.bytes -= size
	s.bytes -= size
	s.stats.Entries += uint64(n)
	signal(s.room)
	if len(s.ready) > 0 {
		s.cfg.Wake()
	}
	return st.taken
}

// Done says that the entries of a stream that Next returned have taken effect.
func (s *Source) Done(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if st == nil || st.taken == nil { // turned off meanwhile
		return
	}
	for _, e := range st.taken {
		p := s.state.Files[e.file]
		p.Next = max(p.Next, e.after)
		if e.volatile {
			p.take(e.Record)
		}
		s.state.Files[e.file] = p
	}
	st.taken = nil
	s.enqueue(st)
}

// take notes an entry of a file of the volatile journal.
func (p *Position) take(r Record) {
	if p.Boot != r.Boot || p.First == 0 {
		p.Boot, p.First = r.Boot, r.Monotonic
	}
	p.Last = r.Monotonic
}

// enqueue gives st its turn if it has entries. s.mu must be held.
func (s *Source) enqueue(st *stream) {
	if len(st.queue) == 0 || st.taken != nil || st.isReady {
		return
	}
	st.isReady = true
	s.ready = append(s.ready, st)
	s.cfg.Wake()
}

// State returns the position after all entries that are done, nil if the source is off.
func (s *Source) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled {
		return nil
	}
	out := s.state.clone()
	return &out
}

// positionOf returns the Position of entry index of a file.
func positionOf(file ID, index uint64) string {
	return "journal." + file.String() + "." + strconv.FormatUint(index, 10)
}

// signal sends to a channel that holds one value, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
