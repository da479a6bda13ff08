package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	dockerapi "github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	maxContainers = 1000 // read at once
	maxEndedLogs  = 8    // logs of ended containers that are read at once
	// maxQueued bounds the lines of one container and maxQueuedBytes their text, maxAllBytes the text of all containers, each of which
	// may queue one line even so. A reader that finds no room waits, and then Docker does.
	maxQueued      = 1024
	maxQueuedBytes = 256 << 10
	maxAllBytes    = 64 << 20
	maxNextBytes   = 128 << 10        // bounds the text that Next returns, but for its last line
	longestLine    = 1 << 20          // requested from Docker; SetMaxLine cuts below it
	listInterval   = 10 * time.Second // between two lists of all containers without an event
	roomRetry      = 50 * time.Millisecond
	retryWait      = time.Second      // after a failure
	longRetryWait  = 30 * time.Second // after the same failure several times
)

// LabelLogs is the label of a container that, set to off, keeps its log from being read. One of its image counts only if
// Config.TrustImageLabels names it.
const LabelLogs = "ironpost.logs"

// Config describes the Docker API to use. Wake is called whenever Next may have lines; it must not
// block. TrustImageLabels are patterns of images.
type Config struct {
	Socket           string
	MaxLine          int
	Wake             func()
	TrustImageLabels []string
	OnMissed         func(name string) // if set, is told of a container that was removed before its log could be read; it must not call the Source
}

// Source reads the container logs of one Docker daemon. Make one with New. One goroutine calls Next and Done; the other
// methods may be called from any.
type Source struct {
	cfg     Config
	log     logrus.FieldLogger
	client  *dockerapi.Client
	self    string // id of the container of this process, "" if it runs in none
	maxLine atomic.Int64
	changed chan struct{} // signals that enabled was set; holds one
	slots   chan struct{} // holds one for each log of an ended container being read

	mu      sync.Mutex
	enabled bool
	state   State // what is done
	readers map[string]*reader
	active  int       // how many of them have a goroutine
	ready   []*reader // whose lines wait for their turn, and that are not taken; in the order of their turns
	bytes   int       // of the lines of all
	counters
	capped      bool     // maxContainers was reached
	off         []string // names of the containers with LabelLogs off
	ignored     []string // those whose image alone has it, whose logs are read
	unreachable string   // why Docker cannot be reached, "" if it can
}

// counters count since the source was made.
type counters struct{ taken, truncated, missed uint64 }

// New returns a disabled Source that continues from saved, or begins when it is enabled if saved is nil. It
// opens nothing. The error is for an invalid socket or a saved state of another version.
func New(cfg Config, saved *State, log logrus.FieldLogger) (*Source, error) {
	client, err := dockerapi.Connect(cfg.Socket)
	if err != nil {
		return nil, err
	}
	client.TrustImageLabels(cfg.TrustImageLabels)
	s := &Source{
		cfg: cfg, log: log, client: client, self: ownID(), readers: map[string]*reader{}, state: State{}.clone(),
		changed: make(chan struct{}, 1), slots: make(chan struct{}, maxEndedLogs),
	}
	s.SetMaxLine(cfg.MaxLine)
	if saved != nil {
		if saved.Version != stateVersion {
			return nil, fmt.Errorf("saved positions in container logs have version %d: this program reads version %d", saved.Version, stateVersion)
		}
		s.state = saved.clone()
	}
	return s, nil
}

// SetMaxLine cuts lines beyond n bytes from now on.
func (s *Source) SetMaxLine(n int) { s.maxLine.Store(int64(min(n, longestLine))) }

// SetEnabled turns the source on or off. Turned off it forgets all positions; turned on again it reads what is
// written from then on.
func (s *Source) SetEnabled(enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enabled == enabled {
		return
	}
	s.enabled = enabled
	if !enabled {
		s.state, s.unreachable, s.capped, s.off, s.ignored = State{}.clone(), "", false, nil, nil
		s.ready, s.bytes = nil, 0
		for _, r := range s.readers { // they go on if it is turned on again before they end
			r.lines, r.bytes = nil, 0
			signal(r.room)
		}
	} else if s.state.Begun.IsZero() {
		s.state = State{Version: stateVersion, Begun: time.Now().UTC(), Containers: map[string]LogPosition{}}
	}
	signal(s.changed)
}

// Run reads until ctx ends and all readers have returned. A Docker that cannot be reached is in Stats, never
// an error; the error is that of a panic.
func (s *Source) Run(ctx context.Context) error {
	defer s.client.Close()
	for ctx.Err() == nil {
		if !s.isEnabled() {
			select {
			case <-ctx.Done():
			case <-s.changed:
			}
			continue
		}
		if err := s.runEnabled(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) isEnabled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enabled
}

// runEnabled reads until ctx ends or the source is turned off.
func (s *Source) runEnabled(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := task.New(ctx)
	g.Go("containers", func(ctx context.Context) error {
		for ctx.Err() == nil {
			err := s.watch(ctx, g)
			if _, panicked := errors.AsType[*task.PanicError](err); panicked {
				return err
			}
			if ctx.Err() == nil {
				s.setUnreachable(err)
				task.Pause(ctx, retryWait)
			}
		}
		return nil
	})
	g.Go("containers off", func(ctx context.Context) error {
		for s.isEnabled() {
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
	if !s.enabled { // lines of a source that ends may still be taken
		clear(s.readers)
	}
	return err
}

// watch subscribes to Docker's events and then lists the containers, in this order so that none is missed in
// between. It returns when the subscription ends.
func (s *Source) watch(ctx context.Context, readers *task.Group) error {
	g := task.New(ctx)
	relist := make(chan struct{}, 1)
	g.Go("container events", func(ctx context.Context) error {
		err := s.client.Events(ctx, time.Time{}, func() { signal(relist) }, func(ev dockerapi.Event) error {
			switch {
			case ev.Kind != "container":
			case ev.Action == "start" && ev.Attributes[LabelLogs] != "off":
				s.startReader(readers, Container{ID: ev.Container, Name: ev.Name, Image: ev.Image}, true)
			case ev.Action == "start", ev.Action == "rename", ev.Action == "destroy": // who gave that label, an event does not tell
				signal(relist)
			}
			return nil
		})
		return errors.Join(err, errors.New("the event stream of Docker ended"))
	})
	g.Go("container list", func(ctx context.Context) error {
		var off map[string]bool
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-relist:
			case <-time.After(listInterval):
			}
			all, err := s.client.List(ctx)
			if err != nil {
				return err
			}
			if off, err = s.switchedOff(ctx, all, off); err != nil {
				return err
			}
			s.setReachable()
			s.reconcile(readers, all, off)
		}
	})
	return g.Wait()
}

// switchedOff returns which containers are not to be read because of LabelLogs. known is its last result: labels do not change. A list does
// not show who gave a label, so each container is inspected once.
func (s *Source) switchedOff(ctx context.Context, all []dockerapi.Container, known map[string]bool) (off map[string]bool, err error) {
	off = map[string]bool{}
	var names, ignored []string
	for _, c := range all {
		if c.Labels[LabelLogs] != "off" {
			continue
		}
		isOff, asked := known[c.ID]
		if !asked {
			inspected, _, err := s.client.Inspect(ctx, c.ID)
			if dockerapi.ClassOf(err) == dockerapi.NotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			isOff = inspected.Labels[LabelLogs] == "off"
		}
		if off[c.ID] = isOff; isOff {
			names = append(names, c.Name)
		} else {
			ignored = append(ignored, c.Name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off, s.ignored = names, ignored
	return off, nil
}

// reconcile starts the readers of all containers but those in off, the running ones first, and forgets containers that are
// gone.
func (s *Source) reconcile(readers *task.Group, all []dockerapi.Container, off map[string]bool) {
	s.mu.Lock()
	s.capped = false
	s.mu.Unlock()
	present := map[string]bool{}
	for _, running := range []bool{true, false} {
		for _, c := range all {
			present[c.ID] = true
			if c.Running == running && !off[c.ID] {
				s.startReader(readers, Container{ID: c.ID, Name: c.Name, Image: c.Image}, c.Running)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.readers {
		if present[id] {
			continue
		}
		r.reason = "" // nothing is left to read
		if !r.busy() {
			delete(s.readers, id)
		}
	}
	for id := range s.state.Containers {
		if r := s.readers[id]; !present[id] && (r == nil || !r.busy()) {
			delete(s.state.Containers, id) // its log is gone, too
		}
	}
}

// Covers reports whether the logs of all containers of the daemon are read through its API.
func (s *Source) Covers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enabled && s.unreachable == ""
}

func (s *Source) setUnreachable(err error) {
	s.mu.Lock()
	known := s.unreachable != ""
	s.unreachable = err.Error()
	s.mu.Unlock()
	if !known {
		s.log.WithError(err).Warn("Docker cannot be reached, logs of containers are not read")
	}
}

func (s *Source) setReachable() {
	s.mu.Lock()
	was := s.unreachable
	s.unreachable = ""
	s.mu.Unlock()
	if was != "" {
		s.log.Info("logs of containers are read again")
	}
}

// Next returns the lines of one container that wait, at most limit and about 128 KiB, in the order it wrote them; none if no lines wait. Containers with
// lines take turns. No more lines of the container are returned, and State stays before these, until Done. It does not wait.
func (s *Source) Next(limit int) []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 {
		return nil
	}
	r := s.ready[0]
	s.ready = s.ready[1:]
	n, size := 0, 0
	for n < min(limit, len(r.lines)) && size < maxNextBytes {
		size += len(r.lines[n].Text)
		n++
	}
	r.taken = r.lines[:n:n]
	r.lines = r.lines[n:]
	r.bytes -= size
	s.bytes -= size
	s.taken += uint64(n)
	signal(r.room)
	if len(s.ready) > 0 {
		s.cfg.Wake()
	}
	return r.taken
}

// Done says that the lines of a container that Next returned have taken effect.
func (s *Source) Done(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.readers[container]
	if r == nil || r.taken == nil { // turned off meanwhile
		return
	}
	position := s.state.Containers[container]
	if position == nil {
		position = LogPosition{}
		s.state.Containers[container] = position
	}
	for _, l := range r.taken {
		position[l.stream] = l.after
	}
	if r.taken = nil; len(r.lines) > 0 {
		s.ready = append(s.ready, r)
		s.cfg.Wake()
	}
}

// State returns the position after all lines that are done, nil if the source is off.
func (s *Source) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled {
		return nil
	}
	out := s.state.clone()
	return &out
}

// signal sends to a channel that holds one value, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
