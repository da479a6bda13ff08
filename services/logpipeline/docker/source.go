package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	engine "github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

// Limits and times.
const (
	maxContainers = 1000 // followed at once
	maxTurns      = 8
	// queued bounds the lines, queuedBytes the text, that wait to be taken. A reader
	// that finds no room waits, and then the engine does.
	queued      = 1024
	queuedBytes = 8 << 20
	// longest is what the engine is asked for; SetMaxLine cuts below it.
	longest  = 1 << 20
	look     = 10 * time.Second // between two looks at the list without being told
	retry    = time.Second      // after a failure
	reminder = 30 * time.Second // after a failure that hardly passes
)

// LabelLogs set to off on a container keeps its log from being read.
const LabelLogs = "ironpost.logs"

// Config says which engine to ask. Wake is called whenever there is something to
// Take; it must not block.
type Config struct {
	Socket  string
	MaxLine int
	Wake    func()
}

// Source follows the containers of one engine. Make one with New. One goroutine
// takes; the other methods may be called from any.
type Source struct {
	cfg     Config
	log     logrus.FieldLogger
	client  *engine.Client
	self    string // id of the container we run in, "" for none
	maxLine atomic.Int64
	room    chan struct{} // told when lines were taken; holds one
	changed chan struct{} // told when on was set; holds one
	turns   chan struct{} // holds one for each log of an ended container being read

	mu        sync.Mutex
	on        bool
	state     State // what was taken
	readers   map[string]*reader
	active    int // of readers
	lines     []Line
	bytes     int
	taken     uint64
	truncated uint64
	missed    uint64
	capped    bool
	trouble   string
}

// New returns a Source that goes on from saved, or begins now if saved is nil. It
// opens nothing and is off. The error names a socket that cannot be meant.
func New(cfg Config, saved *State, log logrus.FieldLogger) (*Source, error) {
	client, err := engine.Connect(cfg.Socket)
	if err != nil {
		return nil, err
	}
	s := &Source{
		cfg: cfg, log: log, client: client, self: ownID(), readers: map[string]*reader{}, state: State{}.clone(),
		room: make(chan struct{}, 1), changed: make(chan struct{}, 1), turns: make(chan struct{}, maxTurns),
	}
	s.SetMaxLine(cfg.MaxLine)
	if saved != nil {
		if saved.Version != stateVersion {
			return nil, fmt.Errorf("saved places in containers' logs have version %d: this program reads version %d", saved.Version, stateVersion)
		}
		s.state = saved.clone()
	}
	return s, nil
}

// SetMaxLine cuts lines beyond n bytes from now on.
func (s *Source) SetMaxLine(n int) { s.maxLine.Store(int64(min(n, longest))) }

// SetEnabled turns the source on or off. Off it forgets all places; turned on again, it
// begins then.
func (s *Source) SetEnabled(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == on {
		return
	}
	s.on = on
	if !on {
		s.state, s.lines, s.bytes, s.trouble, s.capped = State{}.clone(), nil, 0, "", false
	} else if s.state.Begun.IsZero() {
		s.state = State{Version: stateVersion, Begun: time.Now().UTC(), Places: map[string]Place{}}
	}
	tell(s.changed)
}

// Run follows until ctx ends and returns when nothing is read any more. An engine
// that is away is in Stats, never an error; the error is that of a panic.
func (s *Source) Run(ctx context.Context) error {
	defer s.client.Close()
	for ctx.Err() == nil {
		if !s.isOn() {
			select {
			case <-ctx.Done():
			case <-s.changed:
			}
			continue
		}
		if err := s.whileOn(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) isOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

// whileOn follows until ctx ends or the source is turned off.
func (s *Source) whileOn(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := task.New(ctx)
	g.Go("containers", func(ctx context.Context) error { return s.watch(ctx, g) })
	g.Go("containers off", func(ctx context.Context) error {
		for s.isOn() {
			select {
			case <-ctx.Done():
				return nil
			case <-s.changed:
			}
		}
		cancel()
		return nil
	})
	err := g.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.readers)
	return err
}

// watch keeps a subscription to the engine's events until ctx ends.
func (s *Source) watch(ctx context.Context, readers *task.Group) error {
	for ctx.Err() == nil {
		err := s.subscribed(ctx, readers)
		if _, panicked := errors.AsType[*task.PanicError](err); panicked {
			return err
		}
		if ctx.Err() == nil {
			s.unreachable(err)
			task.Pause(ctx, retry)
		}
	}
	return nil
}

// subscribed first listens and then looks, so that no container is missed between
// the two. It returns when the subscription ends.
func (s *Source) subscribed(ctx context.Context, readers *task.Group) error {
	g := task.New(ctx)
	again := make(chan struct{}, 1)
	g.Go("container events", func(ctx context.Context) error {
		err := s.client.Events(ctx, time.Time{}, func() { tell(again) }, func(ev engine.Event) error {
			s.heard(ev, readers, again)
			return nil
		})
		return errors.Join(err, errEnded)
	})
	g.Go("container list", func(ctx context.Context) error { return s.list(ctx, readers, again) })
	return g.Wait()
}

var errEnded = errors.New("the engine ended the stream of events")

// heard acts on what happened to a container.
func (s *Source) heard(ev engine.Event, readers *task.Group, again chan struct{}) {
	if ev.Kind != "container" {
		return
	}
	switch ev.Action {
	case "start":
		if ev.Attributes[LabelLogs] != "off" {
			s.follow(readers, Container{ID: ev.Container, Name: ev.Name, Image: ev.Image}, true)
		}
	case "rename", "destroy":
		tell(again)
	}
}

// list looks at all containers, when told and from time to time.
func (s *Source) list(ctx context.Context, readers *task.Group, again chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-time.After(look):
		}
		all, err := s.client.List(ctx)
		if err != nil {
			return err
		}
		s.reachable()
		s.compare(readers, all)
	}
}

// compare follows what is there and forgets what is gone.
func (s *Source) compare(readers *task.Group, all []engine.Container) {
	there := map[string]bool{}
	slices.SortStableFunc(all, func(a, b engine.Container) int { return cmp.Compare(order(a), order(b)) })
	s.mu.Lock()
	s.capped = false
	s.mu.Unlock()
	for _, c := range all {
		there[c.ID] = true
		if c.Labels[LabelLogs] != "off" {
			s.follow(readers, Container{ID: c.ID, Name: c.Name, Image: c.Image}, c.Running)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.readers {
		if !there[id] && !r.active {
			delete(s.readers, id)
		}
	}
	for id := range s.state.Places {
		if r := s.readers[id]; !there[id] && (r == nil || !r.active) {
			delete(s.state.Places, id) // its log is gone, too
		}
	}
}

// order has containers that run first: those that ended can wait.
func order(c engine.Container) int {
	if c.Running {
		return 0
	}
	return 1
}

func (s *Source) unreachable(err error) {
	s.mu.Lock()
	known := s.trouble != ""
	s.trouble = err.Error()
	s.mu.Unlock()
	if !known {
		s.log.WithError(err).Warn("logs of containers not read")
	}
}

func (s *Source) reachable() {
	s.mu.Lock()
	was := s.trouble
	s.trouble = ""
	s.mu.Unlock()
	if was != "" {
		s.log.Info("logs of containers read again")
	}
}

// Take returns lines that wait, at most limit, in the order each container wrote
// them. It does not wait.
func (s *Source) Take(limit int) []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(limit, len(s.lines))
	out := s.lines[:n:n]
	s.lines = s.lines[n:]
	for _, l := range out {
		s.bytes -= len(l.Text)
		place := s.state.Places[l.Container.ID]
		if place == nil {
			place = Place{}
			s.state.Places[l.Container.ID] = place
		}
		place[l.stream] = l.mark
	}
	s.taken += uint64(n)
	if len(s.lines) > 0 {
		s.cfg.Wake()
	}
	if n > 0 {
		tell(s.room)
	}
	return out
}

// State returns the place after all lines that Take has returned so far, nil if the
// source is off.
func (s *Source) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return nil
	}
	out := s.state.clone()
	return &out
}

// tell sends to a channel that holds one, unless it is told already.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
