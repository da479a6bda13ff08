package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// eventQueue holds events while containers are being listed. When it is full the
	// stream is not read, and Docker may drop events: the next poll finds their effects.
	eventQueue = 8192
	// replaySpan is how far back events are requested at the first start.
	replaySpan = Retention
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Change is a container after something happened to it.
type Change struct {
	Container docker.Container
	Action    string    // of the event: start, connect, unpause, …; "sync" if a list showed the change
	Time      time.Time // of the event
	Gone      bool      // it was removed
}

// Options configures an Inventory.
type Options struct {
	Docker       *docker.Client
	PollInterval time.Duration // between lists; at least a second
	Log          logrus.FieldLogger
}

// Inventory is a Core that is kept up to date from Docker. Its methods may be called
// concurrently; OnChange only before Run.
type Inventory struct {
	options  Options
	onChange []func(Change)

	mu          sync.Mutex
	core        *Core
	staleReason string
	heardUntil  time.Time // everything up to then is in core
	synced      bool      // at least once
}

// New returns an Inventory that knows nothing until Run.
func New(o Options) *Inventory {
	o.PollInterval = max(o.PollInterval, time.Second)
	return &Inventory{options: o, core: NewCore(), staleReason: "containers have not been listed yet"}
}

// OnChange makes Run call fn for every change, in order. fn must not block for long:
// no events are taken meanwhile.
func (v *Inventory) OnChange(fn func(Change)) { v.onChange = append(v.onChange, fn) }

// StaleReason says why the list may be out of date, or returns "".
func (v *Inventory) StaleReason() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.staleReason
}

// Count returns how many containers exist.
func (v *Inventory) Count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.core.Known())
}

// Run keeps the inventory up to date until ctx ends, then returns nil. While Docker is
// away it keeps trying to connect. It returns an error only for a panic.
func (v *Inventory) Run(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := v.follow(ctx)
		if panicked := (*task.PanicError)(nil); errors.As(err, &panicked) {
			return err
		}
		if ctx.Err() == nil {
			v.disconnected(err)
		}
		if time.Since(began) > lastRetry {
			failures = 0
		}
		task.Pause(ctx, backoff.Delay(failures, firstRetry, lastRetry))
	}
	return nil
}

func (v *Inventory) disconnected(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.core.Disconnected(v.heardUntil)
	if v.staleReason == "" && v.options.Log != nil {
		v.options.Log.WithError(err).Warn("connection to Docker lost")
	}
	v.staleReason = fmt.Sprintf("Docker: %v", err)
}

// follow subscribes to events, lists the containers, and takes events until the stream
// ends, whose error it returns.
func (v *Inventory) follow(ctx context.Context) error {
	group := task.New(ctx)
	queue := make(chan docker.Event, eventQueue)
	subscribed := make(chan struct{})
	group.Go("docker events", func(ctx context.Context) error {
		return v.options.Docker.Events(ctx, time.Time{}, func() { close(subscribed) }, func(e docker.Event) error {
			// The attributes hold the labels, which an image may bring by the megabyte, and
			// many events may wait: only what a Core reads is kept.
			if old, ok := e.Attributes["oldName"]; ok {
				e.Attributes = map[string]string{"oldName": old}
			} else {
				e.Attributes = nil
			}
			select {
			case queue <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go("inventory", func(ctx context.Context) error {
		select {
		case <-subscribed:
		case <-ctx.Done():
			return nil
		}
		if err := v.start(ctx); err != nil {
			return err
		}
		return v.takeEvents(ctx, queue)
	})
	return group.Wait()
}

// start inspects every container, then replays what happened just before.
func (v *Inventory) start(ctx context.Context) error {
	if err := v.sync(ctx); err != nil {
		return err
	}
	if err := v.replay(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.core.Reconnected()
	if v.options.Log != nil {
		v.options.Log.WithField("containers", len(v.core.Known())).Info("containers listed")
	}
	v.staleReason, v.synced = "", true
	return nil
}

// takeEvents applies events, and lists the containers at every poll interval.
func (v *Inventory) takeEvents(ctx context.Context, queue <-chan docker.Event) error {
	poll := time.NewTicker(v.options.PollInterval)
	defer poll.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case e := <-queue:
			err = v.handleEvent(ctx, e)
		case <-poll.C:
			err = v.sync(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// replay applies past events at the first start, to know since when containers have their addresses.
// After a lost connection Docker may have restarted without its past events, so they
// prove nothing then.
func (v *Inventory) replay(ctx context.Context) error {
	v.mu.Lock()
	first := !v.synced
	v.mu.Unlock()
	if !first {
		return nil
	}
	task.Pause(ctx, MinSlack) // by then Docker has stamped the events of what the list shows
	now := time.Now()
	horizon := now.Add(-replaySpan)
	events, err := v.options.Docker.PastEvents(ctx, horizon, now)
	if err != nil {
		return err
	}
	whole, err := v.options.Docker.RemembersBefore(ctx, horizon)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range events {
		v.core.Apply(e)
	}
	// Docker remembers few events, and none from before its own start. They are complete
	// from the oldest one on; without any nothing is proved.
	switch {
	case whole:
		v.core.EventsCompleteSince(horizon)
	case len(events) > 0:
		v.core.EventsCompleteSince(events[0].Time)
	}
	return nil
}

// handleEvent applies one event and inspects the containers it makes stale.
func (v *Inventory) handleEvent(ctx context.Context, e docker.Event) error {
	var stale []string
	v.withCore(func(c *Core) {
		c.Apply(e)
		v.heardUntil = later(v.heardUntil, e.Time)
		stale = c.Stale()
	})
	if e.Action == "destroy" && e.Kind == "container" {
		v.notify(Change{Container: docker.Container{ID: e.Container, Name: e.Name, Image: e.Image}, Action: e.Action, Time: e.Time, Gone: true})
	}
	for _, id := range stale {
		if err := v.inspect(ctx, id, e.Action, e.Time); err != nil {
			return err
		}
	}
	return nil
}

// sync lists the containers and inspects those that are new, different or gone.
func (v *Inventory) sync(ctx context.Context) error {
	asked := time.Now()
	rows, err := v.options.Docker.List(ctx)
	if err != nil {
		return err
	}
	var outOfDate []string
	v.withCore(func(c *Core) {
		outOfDate = c.outOfDate(rows, asked)
		c.Prune(time.Now())
	})
	for _, id := range outOfDate {
		if err := v.inspect(ctx, id, "sync", asked); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heardUntil = later(v.heardUntil, asked)
	return nil
}

// inspect inspects one container and reports the change.
func (v *Inventory) inspect(ctx context.Context, id, action string, at time.Time) error {
	asked := time.Now()
	c, _, err := v.options.Docker.Inspect(ctx, id)
	gone := errors.Is(err, docker.ErrNotFound)
	if err != nil && !gone {
		return err
	}
	v.withCore(func(core *Core) {
		if gone {
			core.Removed(id, time.Now())
			c = docker.Container{ID: id}
		} else {
			core.Observe(c, asked, time.Now())
		}
	})
	v.notify(Change{Container: c, Action: action, Time: at, Gone: gone})
	return nil
}

// withCore calls fn with the lock held. A panic in fn leaves the lock free: callers of the
// other methods then do not hang while Run ends.
func (v *Inventory) withCore(fn func(*Core)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fn(v.core)
}

func (v *Inventory) notify(c Change) {
	for _, fn := range v.onChange {
		fn(c)
	}
}

// errNotInspected is no LookupError: a moment later the answer is another.
var errNotInspected = errors.New("the container was not inspected yet")

// ByID is Core.ByID. A container that is known from events only is not named yet: its
// labels, and the network it shares, may protect it.
func (v *Inventory) ByID(prefix string) (Result, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, err := v.core.ByID(prefix)
	if err == nil && !found.Gone && !v.core.records[found.Container.ID].inspected {
		return Result{}, fmt.Errorf("container %s: %w", prefix, errNotInspected)
	}
	return found, err
}

// ByAddress is Core.ByAddress, confirmed by another inspection of the container.
func (v *Inventory) ByAddress(ctx context.Context, address netip.Addr, at time.Time, slack time.Duration) (Result, error) {
	return v.confirmedLookup(ctx, func(c *Core) (Result, error) { return c.ByAddress(address, at, slack) })
}

// ByName is Core.ByName, confirmed by another inspection of the container.
func (v *Inventory) ByName(ctx context.Context, name string, at time.Time, slack time.Duration) (Result, error) {
	return v.confirmedLookup(ctx, func(c *Core) (Result, error) { return c.ByName(name, at, slack) })
}

// List is Core.List.
func (v *Inventory) List() []docker.Container {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.core.List()
}

// confirmedLookup looks up, inspects the container found, and looks up again. The
// inspection shows the effect of events still on their way, such as the end of a
// container whose address the next one has already.
func (v *Inventory) confirmedLookup(ctx context.Context, lookup func(*Core) (Result, error)) (Result, error) {
	var found Result
	var err error
	v.withCore(func(c *Core) { found, err = lookup(c) })
	if err != nil || found.Gone || !found.Until.IsZero() {
		return found, err
	}
	asked := time.Now()
	now, _, err := v.options.Docker.Inspect(ctx, found.Container.ID)
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return Result{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.core.Removed(found.Container.ID, time.Now())
	} else {
		v.core.Observe(now, asked, time.Now())
	}
	return lookup(v.core)
}
