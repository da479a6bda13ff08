package ebpfengine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

const (
	// burstDelay is how long a burst of changes is left to end: a new interface is followed by its routes.
	burstDelay = 50 * time.Millisecond
	// updateShare bounds the time spent on updates to a tenth: a router with a million routes changes all the time.
	updateShare = 10
	// updateInterval is how often the interfaces are checked without a reported change.
	updateInterval = 5 * time.Second
	// firstRetry and maxRetry bound the wait before attaching to an unchanged interface is tried again: loading the program
	// takes the kernel a moment.
	firstRetry = updateInterval
	maxRetry   = time.Minute
)

// failedAttempt is an interface to which attaching failed.
type failedAttempt struct {
	on       attach.Interface
	attempts int
	next     time.Time
}

// watchedSet is the set of watchers, and of interfaces that could not be watched. It is for one goroutine.
type watchedSet struct {
	s        *Service
	k        *kernel
	group    *task.Group
	watchers map[string]*watcher
	failed   map[string]failedAttempt
	detached bool // the pins of an earlier configuration have been removed
}

// watchInterfaces keeps a watcher on each configured interface, as they come and go, until ctx ends.
func (s *Service) watchInterfaces(ctx context.Context, k *kernel, changed <-chan struct{}) error {
	set := &watchedSet{s: s, k: k, group: task.New(ctx), watchers: map[string]*watcher{}, failed: map[string]failedAttempt{}}
	set.group.Go("interface list", func(ctx context.Context) error {
		for {
			began := time.Now()
			set.update(ctx)
			s.health.Started()
			delay := max(burstDelay, updateShare*time.Since(began))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(updateInterval):
				continue
			case <-changed:
			}
			task.Pause(ctx, delay)
			if ctx.Err() != nil {
				return nil
			}
		}
	})
	return set.group.Wait()
}

// update makes the watchers fit the interfaces that exist.
func (set *watchedSet) update(ctx context.Context) {
	names := set.s.cfg.Interfaces()
	found, missing, err := attach.Find(names)
	set.s.setReason(topicFinding, withPrefix("interfaces that come or go are not noticed: ", err))
	if err != nil {
		return
	}
	found, err = set.withPinned(found)
	set.s.setReason(topicPinned, withPrefix("interfaces that are no longer configured may stay attached: ", err))
	set.reportMissing(names, found, missing)
	set.stopStale(found)
	for _, on := range found {
		if set.watchers[on.Name] == nil && !set.watches(on.Index) {
			set.tryAttach(ctx, on)
		}
	}
	if err == nil && !set.detached {
		set.detached = true
		set.detachOthers(found)
	}
}

// withPinned adds to found the interfaces with a pinned program, of this process or an earlier one, that are to be watched:
// they may be missing in a list that the kernel cut short, and an interface that merely lost its default route may get it back
// any moment. Detaching would let blocked addresses in. With an error the result may be incomplete.
func (set *watchedSet) withPinned(found []attach.Interface) ([]attach.Interface, error) {
	pinned, err := set.k.pins.PinnedInterfaces(found)
	for _, on := range pinned {
		if set.s.cfg.Interface == InterfaceAuto || slices.Contains(set.s.cfg.Interfaces(), on.Name) {
			found = append(found, on)
		}
	}
	return found, err
}

// reportMissing sets the reasons for configured interfaces that do not exist.
func (set *watchedSet) reportMissing(names []string, found []attach.Interface, missing []string) {
	for _, name := range names {
		switch {
		case slices.Contains(missing, name) && set.exists(name):
		case slices.Contains(missing, name):
			set.s.setReason(topicInterface+name, "interface "+name+" is not there: it will be watched when it comes")
			set.s.interfaces.setUnwatched(name)
		case name == InterfaceAuto && len(found)+len(set.watchers) == 0:
			set.s.setReason(topicInterface+name, "there is no default route: its interface will be watched when there is one")
		case name == InterfaceAuto:
			set.s.setReason(topicInterface+name, "")
		}
	}
}

// exists reports whether the interface of a watcher exists, though it was not found under that name.
func (set *watchedSet) exists(name string) bool {
	w := set.watchers[name]
	return w != nil && attach.NameNow(w.on) != ""
}

// watches reports whether a watcher is on the interface with that index, under whichever name it was found.
func (set *watchedSet) watches(index int) bool {
	for _, w := range set.watchers {
		if w.on.Index == index {
			return true
		}
	}
	return false
}

// reportRenamed sets the reason for an interface that is watched on under another name. With auto that is no fault: it would be
// found again.
func (set *watchedSet) reportRenamed(w *watcher) {
	now := attach.NameNow(w.on)
	reason := ""
	if now != w.on.Name && now != "" && set.s.cfg.Interface != InterfaceAuto && !slices.Contains(set.s.cfg.Interfaces(), now) {
		reason = w.on.Name + " is called " + now + " now and is watched on until the next start: put " + now + " into ebpf.interface"
	}
	set.s.setReason(topicRenamed+w.on.Name, reason)
}

// stopStale stops the watchers of interfaces that are gone, were made anew, or lost the program, and those whose program has no
// room for CPUs that came online. An interface that exists but was not found is watched on: it was renamed, or for the reasons of
// withPinned.
func (set *watchedSet) stopStale(found []attach.Interface) {
	for _, name := range slices.Sorted(maps.Keys(set.watchers)) {
		w := set.watchers[name]
		same := slices.ContainsFunc(found, func(i attach.Interface) bool { return i.Name == name && i.Index == w.on.Index })
		replaced := slices.ContainsFunc(found, func(i attach.Interface) bool { return i.Name == name && i.Index != w.on.Index })
		usable := w.attached() && !replaced && (same || set.exists(name))
		if usable && (!same || !w.engine.CPUsAdded()) {
			set.reportRenamed(w)
			continue
		}
		set.s.setReason(topicRenamed+name, "")
		w.stop(!usable) // a usable program is replaced in one step
		delete(set.watchers, name)
		set.s.interfaces.setUnwatched(name)
		set.s.setReason(topicInterface+name, "")
	}
	maps.DeleteFunc(set.failed, func(name string, _ failedAttempt) bool {
		gone := !slices.ContainsFunc(found, func(i attach.Interface) bool { return i.Name == name })
		if gone && set.s.cfg.Interface == InterfaceAuto {
			set.s.setReason(topicInterface+name, "")
		}
		return gone
	})
}

// tryAttach starts a watcher on an interface, unless that failed lately and the interface has not changed.
func (set *watchedSet) tryAttach(ctx context.Context, on attach.Interface) {
	last := set.failed[on.Name]
	if last.on != on {
		last = failedAttempt{on: on}
	}
	if time.Now().Before(last.next) {
		return
	}
	w, err := set.s.attach(set.k, on)
	if err != nil {
		last.next = time.Now().Add(backoff.Delay(last.attempts, firstRetry, maxRetry))
		last.attempts++
		set.failed[on.Name] = last
		set.s.setReason(topicInterface+on.Name, "not watched: "+err.Error())
		set.s.interfaces.setUnwatched(on.Name)
		return
	}
	delete(set.failed, on.Name)
	set.watchers[on.Name] = w
	set.s.setReason(topicInterface+on.Name, withPrefix("", w.problem()))
	w.start(ctx, set.group)
}

// detachOthers detaches the pinned programs of interfaces that are no longer configured, and removes the pins of those that are
// gone.
func (set *watchedSet) detachOthers(found []attach.Interface) {
	n, err := set.k.pins.RemoveExcept(found)
	if err != nil {
		set.s.log.WithError(err).Warn("cannot remove pinned links of interfaces that are no longer configured")
	}
	if n > 0 {
		set.s.log.WithField("links", n).Info("detached from interfaces that are no longer configured")
	}
}
