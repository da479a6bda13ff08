package quarantine

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
)

type change = inventory.Change

// Labels of Docker Compose that tell one container of a service from another.
const (
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff"
	composeReplace = "com.docker.compose.replace"
)

// Observe takes a change of a container, from Inventory.Watch. It never blocks;
// Run does what is to be done about it.
func (m *Manager) Observe(c inventory.Change) {
	select {
	case m.changes <- c:
	default:
		m.overflow.Store(true)
	}
}

// Run finishes what an earlier run left undone, then keeps every entry as the
// ledger says: after each change Observe hands in, when something is to be tried
// again, and when an entry expires. It returns nil when ctx ends and everything
// under way has ended.
func (m *Manager) Run(ctx context.Context) error {
	l := &loop{m: m, group: task.New(ctx), services: map[string]docker.Container{}, gone: map[string]bool{}, replaced: map[string]bool{}, heirs: map[string]string{}}
	tick := time.NewTicker(reconcileInterval)
	defer tick.Stop()
	l.workAll()
	for {
		select {
		case <-l.group.Context().Done():
			return l.group.Wait()
		case c := <-m.changes:
			l.take(c)
		case now := <-tick.C:
			if m.overflow.Swap(false) {
				l.workAll()
			}
			l.due(now)
			l.sweep(now)
		}
	}
}

// loop is what one Run knows.
type loop struct {
	m     *Manager
	group *task.Group

	services map[string]docker.Container // containers of Compose services that are there, by id
	gone     map[string]bool             // ids of held containers seen to go, until the ledger says so
	replaced map[string]bool             // ids already held as a replacement, or tried
	heirs    map[string]string           // id of a held container → the newest held in its place

	swept    time.Time   // when evidence was removed last
	sweeping atomic.Bool // it is being removed
}

// take decides whether a change undoes something.
func (l *loop) take(c change) {
	id := c.Container.ID
	l.remember(c)
	if e, held := l.m.Get(id); held {
		if c.Gone {
			l.gone[id] = true
		}
		if e.State != Releasing && (c.Gone || e.State == Applying || unmet(c.Container, &e, true) != "") {
			l.work(id)
		}
	}
	l.replacements()
}

func (l *loop) remember(c change) {
	id := c.Container.ID
	if c.Gone {
		delete(l.services, id)
		delete(l.replaced, id)
		return
	}
	if c.Container.Project != "" && c.Container.Service != "" {
		l.services[id] = c.Container
	}
}

// replacements holds containers that were made anew in place of held ones. One whose
// order still waits has none: what was made since is not what was ordered.
func (l *loop) replacements() {
	entries := l.m.List()
	for id, c := range l.services {
		if _, held := l.m.Get(id); held || l.replaced[id] {
			continue
		}
		for _, e := range entries {
			if e.Begun && e.State != Releasing && replaces(c, e, l.vacant(entries, e)) {
				l.replaced[id], l.heirs[e.Before.ID] = true, id
				l.replace(c, e)
				break
			}
		}
	}
}

// vacant tells that a held container is gone and that none has its place yet.
func (l *loop) vacant(entries []Entry, e Entry) bool {
	_, taken := l.services[l.heirs[e.Before.ID]]
	return !taken && (l.gone[e.Before.ID] || !e.Gone.IsZero()) && !succeeded(entries, e)
}

// replaces tells whether a container is the one of entry e made anew: of the same
// service and number. Without numbers, it is if it was made since the other was held,
// and that one's place is vacant: of several only one is.
func replaces(c docker.Container, e Entry, vacant bool) bool {
	was := e.Before
	if c.Project != was.Project || c.Service != was.Service || c.Labels[composeOneOff] != was.Labels[composeOneOff] {
		return false
	}
	if r := c.Labels[composeReplace]; r != "" && (r == was.ID || r == was.Name) {
		return true
	}
	if !c.Created.After(was.Created) {
		return false
	}
	number, wasNumber := c.Labels[composeNumber], was.Labels[composeNumber]
	if number != "" && wasNumber != "" {
		return number == wasNumber
	}
	return vacant && c.Created.After(e.Since)
}

// replace holds the new container of a service as the old one was held.
func (l *loop) replace(c docker.Container, e Entry) {
	o := e.Order
	o.ActionID = actionRecordID(e.Order.ActionID, "recreated", c.ID)
	o.Container, o.Ordered, o.Deadline = c, time.Now(), time.Time{}
	o.Replaces, o.origin, o.past = e.Before.ID, e.origin(), e.past()
	o.Reason = fmt.Sprintf("replaces container %s of the same service, which is in quarantine: %s", e.Before.ID[:12], firstReason(e.Order))
	o.Kind, o.want = kindOf(e.Want), &e.Want
	l.group.Go("quarantine replacement", func(ctx context.Context) error {
		if err := l.m.Apply(ctx, o); err != nil && ctx.Err() == nil {
			l.m.options.Log.WithError(err).WithField("container_id", c.ID).Error("replacement not quarantined")
		}
		return nil
	})
}

// firstReason keeps reasons from growing with every replacement.
func firstReason(o Order) string {
	if o.Replaces != "" {
		return "policy " + o.Policy
	}
	return o.Reason
}

// kindOf returns the kind that wants at least w.
func kindOf(w Restrictions) Kind {
	switch {
	case w.Kill && w.Freeze:
		return Stop
	case w.Kill:
		return Kill
	case w.Freeze && w.Disconnect:
		return Isolate
	case w.Disconnect:
		return Disconnect
	}
	return Pause
}

// due begins what has expired and what is to be tried again.
func (l *loop) due(now time.Time) {
	l.replacements()
	entries := l.m.List()
	for _, e := range entries {
		expires := e.Order.Expires
		switch {
		case e.State != Releasing && !expires.IsZero() && now.After(expires):
			l.expire(e.Before.ID)
		case !e.Gone.IsZero() && e.State != Releasing:
			if succeeded(entries, e) {
				l.work(e.Before.ID)
			}
		case e.State == Applying || e.State == Releasing || e.Error != "" && e.State == Held:
			l.work(e.Before.ID)
		}
	}
	l.forget()
}

// sweep removes evidence now and then, beside everything else.
func (l *loop) sweep(now time.Time) {
	if l.m.limited.Swap(false) {
		l.swept = time.Time{}
	}
	if now.Sub(l.swept) < sweepEvery || !l.sweeping.CompareAndSwap(false, true) {
		return
	}
	l.swept = now
	l.group.Go("evidence sweep", func(ctx context.Context) error {
		defer l.sweeping.Store(false)
		l.m.archive.sweep(ctx, now)
		return nil
	})
}

// forget drops what is remembered of containers that the ledger holds no more.
func (l *loop) forget() {
	maps.DeleteFunc(l.gone, func(id string, _ bool) bool { _, held := l.m.Get(id); return !held })
	maps.DeleteFunc(l.heirs, func(id, _ string) bool { _, held := l.m.Get(id); return !held })
}

func (l *loop) expire(id string) {
	l.group.Go("expire quarantine", func(ctx context.Context) error {
		if err := l.m.releaseOne(ctx, id, "expired"); err != nil && ctx.Err() == nil {
			l.m.options.Log.WithError(err).WithField("container_id", id).Error("quarantine not released")
		}
		return nil
	})
}

func (l *loop) workAll() {
	for _, e := range l.m.List() {
		l.work(e.Before.ID)
	}
}

// work looks at one entry, unless somebody already waits to do so.
func (l *loop) work(id string) {
	s := l.m.enter(id)
	if !s.queued.CompareAndSwap(false, true) {
		l.m.leave(id, s)
		return
	}
	l.group.Go("quarantine", func(ctx context.Context) error {
		defer l.m.leave(id, s)
		if s.acquire(ctx) != nil {
			s.queued.Store(false)
			return nil
		}
		defer s.release()
		s.queued.Store(false) // what happens from now on is looked at again
		if s.entry != nil && s.retry.due(time.Now()) {
			l.m.advance(ctx, s)
		}
		return nil
	})
}
