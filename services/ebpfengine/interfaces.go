package ebpfengine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

const (
	// settle is how long a burst of changes is left to end: an interface that comes is followed by its routes.
	settle = 50 * time.Millisecond
	// lookShare bounds the time spent on looking to a part of all: a router with a million routes changes all the time.
	lookShare = 10
	// lookAgain is how often the interfaces are looked at although nobody told of a change.
	lookAgain = 5 * time.Second
	// firstRetry and lastRetry bound the wait before an interface that could not be attached is tried again, if nothing
	// about it has changed: loading the program takes the kernel a moment.
	firstRetry = lookAgain
	lastRetry  = time.Minute
)

// attempt is an interface that could not be attached.
type attempt struct {
	on   attach.Interface
	next time.Time
	wait time.Duration
}

// attached is the set of sensors, and what could not become one. It is for one goroutine.
type attached struct {
	s       *Service
	k       *kernel
	group   *task.Group
	sensors map[string]*sensor
	failed  map[string]attempt
	swept   bool // what a former configuration left has been detached
}

// keepAttached has a sensor on each wanted interface, whatever comes and goes, until ctx ends.
func (s *Service) keepAttached(ctx context.Context, k *kernel, changed <-chan struct{}) error {
	a := &attached{s: s, k: k, group: task.New(ctx), sensors: map[string]*sensor{}, failed: map[string]attempt{}}
	a.group.Go("interface list", func(ctx context.Context) error {
		for {
			began := time.Now()
			a.look(ctx)
			s.begun()
			if !waitChange(ctx, changed, max(settle, lookShare*time.Since(began))) {
				return nil
			}
		}
	})
	return a.group.Wait()
}

// waitChange returns settled after a change, or after lookAgain; false when ctx has ended.
func waitChange(ctx context.Context, changed <-chan struct{}, settled time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(lookAgain):
		return true
	case <-changed:
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(settled):
		return true
	}
}

// look makes the sensors fit the interfaces there are.
func (a *attached) look(ctx context.Context) {
	names := a.s.cfg.Interfaces()
	found, missing, err := attach.Find(names)
	a.s.note(troubleLooking, told("interfaces that come or go are not noticed: ", err))
	if err != nil {
		return
	}
	found, err = a.withHeld(found)
	a.s.note(troubleHeld, told("what is watched no more may stay attached: ", err))
	a.missing(names, found, missing)
	a.prune(found)
	for _, on := range found {
		if a.sensors[on.Name] == nil {
			a.try(ctx, on)
		}
	}
	if err == nil {
		a.sweep(found)
	}
}

// missing notes what is not there.
func (a *attached) missing(names []string, found []attach.Interface, missing []string) {
	for _, name := range names {
		switch {
		case slices.Contains(missing, name) && a.stays(name):
		case slices.Contains(missing, name):
			a.s.note(troubleInterface+name, "interface "+name+" is not there: it will be watched when it comes")
			a.s.view(name, nil)
		case name == InterfaceAuto && len(found)+len(a.sensors) == 0:
			a.s.note(troubleInterface+name, "there is no default route: its interface will be watched when there is one")
		case name == InterfaceAuto:
			a.s.note(troubleInterface+name, "")
		}
	}
}

// stays tells whether the interface of a sensor is there, found or not.
func (a *attached) stays(name string) bool {
	sen := a.sensors[name]
	return sen != nil && attach.Exists(sen.on)
}

// prune ends the sensors of interfaces that have gone, were made anew, or lost the program. One that merely lost
// its default route is watched on: it may have it back any moment. So is one that is missing in a list the kernel cut short,
// because interfaces changed meanwhile: detaching it would let in whoever is blocked. For CPUs that came, the program is loaded
// anew.
func (a *attached) prune(found []attach.Interface) {
	for _, name := range slices.Sorted(maps.Keys(a.sensors)) {
		sen := a.sensors[name]
		same := slices.ContainsFunc(found, func(i attach.Interface) bool { return i.Name == name && i.Index == sen.on.Index })
		there := sen.attached() && (same || a.stays(name))
		if there && (!same || !sen.engine.CPUsAdded()) {
			continue
		}
		sen.stop(!there) // another takes its place in one step
		delete(a.sensors, name)
		a.s.view(name, nil)
		a.s.note(troubleInterface+name, "")
	}
	maps.DeleteFunc(a.failed, func(name string, _ attempt) bool {
		gone := !slices.ContainsFunc(found, func(i attach.Interface) bool { return i.Name == name })
		if gone && a.s.cfg.Interface == InterfaceAuto {
			a.s.note(troubleInterface+name, "")
		}
		return gone
	})
}

// try attaches to on, unless it failed lately and nothing has changed.
func (a *attached) try(ctx context.Context, on attach.Interface) {
	last, failed := a.failed[on.Name]
	if failed && last.on == on && time.Now().Before(last.next) {
		return
	}
	sen, err := a.s.attach(a.k, on)
	if err != nil {
		wait := firstRetry
		if failed && last.on == on {
			wait = min(2*last.wait, lastRetry)
		}
		a.failed[on.Name] = attempt{on: on, next: time.Now().Add(wait), wait: wait}
		a.s.note(troubleInterface+on.Name, "not watched: "+err.Error())
		a.s.view(on.Name, nil)
		return
	}
	delete(a.failed, on.Name)
	a.sensors[on.Name] = sen
	a.s.note(troubleInterface+on.Name, told("", sen.trouble()))
	sen.start(ctx, a.group)
}

// withHeld adds to found what is watched, by this process or one before it, and is still to be: it may be missing in a list that
// the kernel cut short, and an interface that merely lost its default route may have it back any moment. Letting go of it would
// let in whoever is blocked. With an error some may be left out.
func (a *attached) withHeld(found []attach.Interface) ([]attach.Interface, error) {
	held, err := a.k.pins.PinnedInterfaces(found)
	for _, on := range held {
		if a.s.cfg.Interface == InterfaceAuto || slices.Contains(a.s.cfg.Interfaces(), on.Name) {
			found = append(found, on)
		}
	}
	return found, err
}

// sweep detaches, once, what is pinned for interfaces that are not wanted any more, and removes pins of those that are gone.
func (a *attached) sweep(found []attach.Interface) {
	if a.swept {
		return
	}
	a.swept = true
	n, err := a.k.pins.RemoveExcept(found)
	if err != nil {
		a.s.log.WithError(err).Warn("pinned links of other interfaces not removed")
	}
	if n > 0 {
		a.s.log.WithField("links", n).Info("detached from interfaces that are not watched any more")
	}
}
