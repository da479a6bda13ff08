package quarantine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
)

// A container that Docker Compose makes in place of a quarantined one is quarantined,
// too: it is the same program with the same hole. The containers that replace each other
// form a chain, whose entries share the id of the first, their origin. An entry whose
// container is gone ends as soon as its replacement is in quarantine.

// Labels of Docker Compose that tell the containers of a service apart.
const (
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff"
	composeReplace = "com.docker.compose.replace"
)

// originID returns the id of the first container of e's chain.
func (e *Entry) originID() string {
	if e.Origin != "" {
		return e.Origin
	}
	return e.Before.ID
}

// matchesPrefix reports whether the id of e's container, of the one it replaces, or of the
// first of its chain begins with prefix.
func (e *Entry) matchesPrefix(prefix string) bool {
	return slices.ContainsFunc([]string{e.Before.ID, e.Replaces, e.Origin}, func(id string) bool {
		return strings.HasPrefix(id, prefix)
	})
}

// isReplaced reports whether the replacement of e's container is in quarantine.
func (e *Entry) isReplaced(entries []Entry) bool {
	return slices.ContainsFunc(entries, func(x Entry) bool {
		return x.Replaces == e.Before.ID && x.Begun && x.State != Releasing
	})
}

// chain returns the ids of all entries of the chain that the container belongs to.
func (m *Manager) chain(id string) []string {
	entries := m.List()
	at := slices.IndexFunc(entries, func(e Entry) bool { return e.Before.ID == id || e.Replaces == id || e.Origin == id })
	if at < 0 || id == "" {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.originID() == entries[at].originID() {
			out = append(out, e.Before.ID)
		}
	}
	return out
}

// maxServiceContainers bounds the containers of Compose services that are remembered: a
// removal that Run is not told of, because too much happens at once, leaves one behind.
const maxServiceContainers = 16_384

// replacements finds containers that replace quarantined ones. Only Run uses it.
type replacements struct {
	services map[string]docker.Container // existing containers of Compose services, by id
	removed  map[string]bool             // ids of quarantined containers that were removed
	found    map[string]string           // id of a replacement that was found → id of the quarantined container
	newest   map[string]string           // the reverse
}

func newReplacements() *replacements {
	return &replacements{services: map[string]docker.Container{}, removed: map[string]bool{}, found: map[string]string{}, newest: map[string]string{}}
}

// record takes a change of any container.
func (r *replacements) record(c change, quarantined bool) {
	id := c.Container.ID
	if c.Gone {
		delete(r.services, id)
		delete(r.found, id)
		if quarantined {
			r.removed[id] = true
		}
		return
	}
	if c.Container.Project == "" || c.Container.Service == "" {
		return
	}
	if _, known := r.services[id]; !known && len(r.services) >= maxServiceContainers {
		oldest := slices.MinFunc(slices.Collect(maps.Values(r.services)), func(a, b docker.Container) int { return a.Created.Compare(b.Created) })
		delete(r.services, oldest.ID)
	}
	r.services[id] = c.Container
}

// find returns the new replacements of entries, each with the entry whose container it
// replaces. An entry whose first order is pending has none: what was made since is not
// what the order was about.
func (r *replacements) find(entries []Entry) (containers []docker.Container, replaced []Entry) {
	inLedger := map[string]bool{}
	for _, e := range entries {
		inLedger[e.Before.ID] = true
	}
	for id, c := range r.services {
		if inLedger[id] || r.found[id] != "" {
			continue
		}
		for _, e := range entries {
			if e.Begun && e.State != Releasing && replaces(c, e, r.vacant(entries, e)) {
				r.found[id], r.newest[e.Before.ID] = e.Before.ID, id
				containers, replaced = append(containers, c), append(replaced, e)
				break
			}
		}
	}
	// Containers that the ledger has no more are forgotten.
	maps.DeleteFunc(r.removed, func(id string, _ bool) bool { return !inLedger[id] })
	maps.DeleteFunc(r.newest, func(id, _ string) bool { return !inLedger[id] })
	maps.DeleteFunc(r.found, func(_, replaced string) bool { return !inLedger[replaced] })
	return containers, replaced
}

// vacant reports whether a quarantined container is gone and nothing replaces it yet.
func (r *replacements) vacant(entries []Entry, e Entry) bool {
	_, replacementExists := r.services[r.newest[e.Before.ID]]
	return !replacementExists && (r.removed[e.Before.ID] || !e.Gone.IsZero()) && !e.isReplaced(entries)
}

// replaces reports whether c was made in place of the container of e: it has the same
// service and number. Without numbers, it was made after the quarantine began and that
// container's place is vacant: only one of several replaces it.
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

// quarantine applies the restrictions of e to its replacement c.
func (r *reconciler) quarantine(c docker.Container, e Entry) {
	o := e.Order
	o.ActionID = event.ID(e.Order.ActionID, "recreated", c.ID)
	o.Container, o.Ordered, o.Deadline = c, time.Now(), time.Time{}
	reason := o.Reason
	if e.Order.Replaces != "" { // else the text grows with every replacement
		reason = "policy " + o.Policy
	}
	o.Reason = fmt.Sprintf("replaces container %s of the same service, which is in quarantine: %s", e.Before.ID[:12], reason)
	o.Kind, o.Replaces = e.Want.kind(), e.Before.ID
	o.inherited = &inherited{want: e.Want, origin: e.originID(), originActionIDs: e.OriginActionIDs}
	if e.Origin == "" { // it is the first of the chain
		o.inherited.originActionIDs = e.ActionIDs
	}
	r.goOrLog("quarantine replacement", c.ID, "cannot quarantine the replacement of a quarantined container", func(ctx context.Context) error {
		return r.m.Apply(ctx, o)
	})
}
