package inventory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// eventQueue holds events while containers are being listed. When it is full
	// the stream is not read, and the engine may drop events: the next slow
	// reconcile finds what they would have told.
	eventQueue = 8192
	// replaySpan is how far back events are asked for at start.
	replaySpan = Retention
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// Change is what Watch hands out: a container after something happened to it.
type Change struct {
	Container docker.Container
	Action    string    // the event's: start, connect, unpause, …; "sync" for what a list showed
	Time      time.Time // the event's
	Gone      bool
}

// Options configures an Inventory.
type Options struct {
	Docker       *docker.Client
	PollInterval time.Duration // slow reconcile; at least a second
	Log          logrus.FieldLogger
}

// Inventory is a Core fed by a live engine. Its methods may be called
// concurrently; Watch only before Run.
type Inventory struct {
	options  Options
	watchers []func(Change)

	mu        sync.Mutex
	core      *Core
	reason    string    // why it is not healthy
	heard     time.Time // everything up to then is known
	synced    bool
	events    uint64
	inspected uint64
}

// New returns an Inventory that knows nothing until Run.
func New(o Options) *Inventory {
	o.PollInterval = max(o.PollInterval, time.Second)
	return &Inventory{options: o, core: NewCore(), reason: "containers have not been listed yet"}
}

// OnChange makes Run call fn for every change, in order. fn must not block for long:
// meanwhile no events are taken.
func (v *Inventory) OnChange(fn func(Change)) { v.watchers = append(v.watchers, fn) }

// StaleReason returns "" if the list is up to date, else the reason why it is not.
func (v *Inventory) StaleReason() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reason
}

// Stats counts what was done since the start.
type Stats struct {
	Containers int    // there now
	Events     uint64 // taken
	Inspected  uint64 // containers inspected
}

// Stats returns the counts.
func (v *Inventory) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Stats{Containers: v.core.Len(), Events: v.events, Inspected: v.inspected}
}

// Run keeps the inventory up to date until ctx ends, then returns nil. An engine
// that is not there, or goes away, is asked for again.
func (v *Inventory) Run(ctx context.Context) error {
	wait := minBackoff
	for ctx.Err() == nil {
		began := time.Now()
		if err := v.follow(ctx); ctx.Err() == nil {
			v.markDisconnected(err)
		}
		if time.Since(began) > maxBackoff {
			wait = minBackoff
		}
		task.Pause(ctx, wait/2+rand.N(wait)) //nolint:gosec // jitter needs no secret
		wait = min(2*wait, maxBackoff)
	}
	return nil
}

func (v *Inventory) markDisconnected(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.core.Disconnected(v.heard)
	reason := fmt.Sprintf("Docker: %v", err)
	if v.reason == "" && v.options.Log != nil {
		v.options.Log.WithError(err).Warn("container engine lost")
	}
	v.reason = reason
}

// follow subscribes, lists, and takes events until the stream ends.
func (v *Inventory) follow(ctx context.Context) error {
	group := task.New(ctx)
	queue := make(chan docker.Event, eventQueue)
	ready := make(chan struct{})
	group.Go("docker events", func(ctx context.Context) error {
		return v.options.Docker.Events(ctx, time.Time{}, func() { close(ready) }, func(e docker.Event) error {
			e.Attributes = neededAttributes(e.Attributes)
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
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		return v.run(ctx, queue)
	})
	return group.Wait()
}

// neededAttributes keeps of an event's attributes what a Core reads: the rest are labels, which
// an image may bring by the megabyte, and many events may wait.
func neededAttributes(attributes map[string]string) map[string]string {
	old, is := attributes["oldName"]
	if !is {
		return nil
	}
	return map[string]string{"oldName": old}
}

func (v *Inventory) run(ctx context.Context, queue <-chan docker.Event) error {
	if err := v.start(ctx); err != nil {
		return err
	}
	poll := time.NewTicker(v.options.PollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-queue:
			if err := v.handleEvent(ctx, e); err != nil {
				return err
			}
		case <-poll.C:
			if err := v.sync(ctx); err != nil {
				return err
			}
		}
	}
}

// start looks at every container, then at what happened just before.
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
		v.options.Log.WithField("containers", v.core.Len()).Info("containers listed")
	}
	v.reason, v.synced = "", true
	return nil
}

// replay narrows down, at the first start, when addresses were taken. After the
// engine was lost its memory may have been lost with it, so it proves nothing.
func (v *Inventory) replay(ctx context.Context) error {
	v.mu.Lock()
	first := !v.synced
	v.mu.Unlock()
	if !first {
		return nil
	}
	task.Pause(ctx, MinSlack) // what the list shows has been written down by then
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
	// An engine remembers few events, and none from before its own start. Its memory
	// is whole from the oldest one on; where it has none, nothing is proved.
	switch {
	case whole:
		v.core.EventsCompleteSince(horizon)
	case len(events) > 0:
		v.core.EventsCompleteSince(events[0].Time)
	}
	return nil
}

// handleEvent takes one event and looks at the containers it makes stale.
func (v *Inventory) handleEvent(ctx context.Context, e docker.Event) error {
	v.mu.Lock()
	v.core.Apply(e)
	v.events++
	v.heard = later(v.heard, e.Time)
	stale := v.core.Stale()
	v.mu.Unlock()
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

// inspect asks about one container and tells the watchers.
func (v *Inventory) inspect(ctx context.Context, id, action string, at time.Time) error {
	asked := time.Now()
	c, _, err := v.options.Docker.Inspect(ctx, id)
	if err != nil && !errors.Is(err, docker.ErrNotFound) {
		return err
	}
	v.mu.Lock()
	v.inspected++
	if err != nil {
		v.core.Removed(id, time.Now())
		c = docker.Container{ID: id}
	} else {
		v.core.Observe(c, asked, time.Now())
	}
	v.mu.Unlock()
	v.notify(Change{Container: c, Action: action, Time: at, Gone: err != nil})
	return nil
}

func (v *Inventory) notify(c Change) {
	for _, fn := range v.watchers {
		fn(c)
	}
}

// sync reads the list and looks at what is new, different or gone.
func (v *Inventory) sync(ctx context.Context) error {
	asked := time.Now()
	rows, err := v.options.Docker.List(ctx)
	if err != nil {
		return err
	}
	v.mu.Lock()
	look := v.core.outOfDate(rows, asked)
	v.core.Prune(time.Now())
	v.mu.Unlock()
	for _, id := range look {
		if err := v.inspect(ctx, id, "sync", asked); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heard = later(v.heard, asked)
	return nil
}

// errNotInspected is no LookupError: a moment later the answer is another.
var errNotInspected = errors.New("the container was not looked at yet")

// ByID is Core.ByID. A container of which only an event is known is not named yet:
// its labels and whose network it uses may forbid to act on it.
func (v *Inventory) ByID(prefix string) (Result, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, err := v.core.ByID(prefix)
	if err == nil && !found.Gone && !v.core.records[found.Container.ID].inspected {
		return Result{}, fmt.Errorf("container %s: %w", prefix, errNotInspected)
	}
	return found, err
}

// ByAddress is Core.ByAddress, after asking the engine again about the container it names.
func (v *Inventory) ByAddress(ctx context.Context, address netip.Addr, at time.Time, slack time.Duration) (Result, error) {
	return v.confirmedLookup(ctx, func(c *Core) (Result, error) { return c.ByAddress(address, at, slack) })
}

// ByName is Core.ByName, after asking the engine again about the container it names.
func (v *Inventory) ByName(ctx context.Context, name string, at time.Time, slack time.Duration) (Result, error) {
	return v.confirmedLookup(ctx, func(c *Core) (Result, error) { return c.ByName(name, at, slack) })
}

// List is Core.List.
func (v *Inventory) List() []docker.Container {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.core.List()
}

// confirmedLookup looks up, asks the engine about the container found, and looks up
// again: an event on its way, such as the end of a container whose address the
// next one has already, shows in the answer.
func (v *Inventory) confirmedLookup(ctx context.Context, lookup func(*Core) (Result, error)) (Result, error) {
	v.mu.Lock()
	found, err := lookup(v.core)
	v.mu.Unlock()
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
