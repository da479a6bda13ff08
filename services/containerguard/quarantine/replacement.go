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

// A container that is made in place of a quarantined one is quarantined, too: it is the same program with the same
// hole. It is known by what it is for: the service of Compose, the name and the image's repository, or the systemd
// unit. The containers that replace each other form a chain, whose entries share the id of the first, their origin.
// An entry whose container is gone ends as soon as its replacement is in quarantine. A replacement from another image
// is the redeploy that mends the hole: it is left alone, and ends the entry once the old container is gone.

// Labels of Docker Compose that tell the containers of a service apart.
const (
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff"
	composeReplace = "com.docker.compose.replace"
)

// systemdUnit is the label that Podman gives a container of a systemd unit.
const systemdUnit = "PODMAN_SYSTEMD_UNIT"

// vacancyTime is how long the name of a removed container stays in quarantine, if the order does not end before. That
// of a service of Compose does until it ends.
const vacancyTime = 24 * time.Hour

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

// isReplaced reports whether a later container of e's chain is in quarantine.
func (e *Entry) isReplaced(entries []Entry) bool {
	return slices.ContainsFunc(entries, func(x Entry) bool {
		return x.originID() == e.originID() && x.Before.Created.After(e.Before.Created) && x.Begun && x.State != Releasing
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

// maxRemembered bounds the containers that are remembered: a removal that Run is not told of, because too much happens
// at once, leaves one behind.
const maxRemembered = 16_384

// replacements finds containers that replace quarantined ones. Only Run uses it.
type replacements struct {
	existing map[string]docker.Container // by id
	removed  map[string]bool             // ids of quarantined containers that were removed
	found    map[string]string           // id of a replacement that was found → id of the quarantined container
	newest   map[string]string           // the reverse
}

func newReplacements() *replacements {
	return &replacements{existing: map[string]docker.Container{}, removed: map[string]bool{}, found: map[string]string{}, newest: map[string]string{}}
}

// record takes a change of any container.
func (r *replacements) record(c change, quarantined bool) {
	id := c.Container.ID
	if c.Gone {
		delete(r.existing, id)
		delete(r.found, id)
		if quarantined {
			r.removed[id] = true
		}
		return
	}
	if _, known := r.existing[id]; !known && len(r.existing) >= maxRemembered {
		oldest := slices.MinFunc(slices.Collect(maps.Values(r.existing)), func(a, b docker.Container) int { return a.Created.Compare(b.Created) })
		delete(r.existing, oldest.ID)
	}
	r.existing[id] = c.Container
}

// replacement is a container that was made in place of that of an entry.
type replacement struct {
	container docker.Container
	of        Entry
}

// find returns the new replacements of entries: those to be quarantined, and redeploys, which are from another image
// than a container that is gone. An entry whose first order is pending has none: what was made since is not
// what the order was about.
func (r *replacements) find(entries []Entry) (same, redeployed []replacement) {
	inLedger := map[string]bool{}
	for _, e := range entries {
		inLedger[e.Before.ID] = true
	}
	for id, c := range r.existing {
		if inLedger[id] || r.found[id] != "" {
			continue
		}
		for _, e := range slices.Backward(entries) { // the newest of a chain
			gone := r.isGone(e)
			switch {
			case !e.Begun || e.State == Releasing || !replaces(c, e, gone && r.vacant(entries, e)):
				continue
			case sameImage(c, e.Before):
				r.found[id], r.newest[e.Before.ID] = e.Before.ID, id
				same = append(same, replacement{c, e})
			case gone && !c.StartedAt.IsZero(): // it ran, so it was not given up before
				redeployed = append(redeployed, replacement{c, e})
			}
			break
		}
	}
	// Containers that the ledger has no more are forgotten.
	maps.DeleteFunc(r.removed, func(id string, _ bool) bool { return !inLedger[id] })
	maps.DeleteFunc(r.newest, func(id, _ string) bool { return !inLedger[id] })
	maps.DeleteFunc(r.found, func(_, replaced string) bool { return !inLedger[replaced] })
	return same, redeployed
}

// isGone reports whether the container of an entry was removed.
func (r *replacements) isGone(e Entry) bool { return r.removed[e.Before.ID] || !e.Gone.IsZero() }

// vacant reports whether nothing replaces the container of an entry, which is gone, yet.
func (r *replacements) vacant(entries []Entry, e Entry) bool {
	_, replacementExists := r.existing[r.newest[e.Before.ID]]
	return !replacementExists && !e.isReplaced(entries)
}

// replaces reports whether c was made in place of the container of e. vacant says that that is gone and not replaced.
// Of containers that do not run under Compose, Docker has only one of a name at a time; a unit may have several, of
// which only one replaces it.
func replaces(c docker.Container, e Entry, vacant bool) bool {
	was := e.Before
	switch {
	case c.Service != "" && was.Service != "":
		return replacesInService(c, e, vacant)
	case !c.Created.After(e.Since) || !sameImage(c, was) && repository(c.Image) != repository(was.Image):
		return false
	case c.Name == was.Name:
		return true
	}
	unit := c.Labels[systemdUnit]
	return vacant && unit != "" && unit == was.Labels[systemdUnit]
}

// replacesInService is replaces for services of Compose: c has the same service and number. Without numbers, it was
// made after the quarantine began, and only one of several replaces the container.
func replacesInService(c docker.Container, e Entry, vacant bool) bool {
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

// sameImage reports whether both containers are from one image, also if an id is not known.
func sameImage(a, b docker.Container) bool {
	return a.ImageID == b.ImageID || a.ImageID == "" || b.ImageID == ""
}

// repository returns an image's reference without tag and digest.
func repository(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	return name
}

// endRedeployed ends the entry of a container that is gone and was replaced by one from another image.
func (r *reconciler) endRedeployed(x replacement) {
	reason := fmt.Sprintf("container %s from another image (%s) was made in its place and is not in quarantine", x.container.ID[:12], x.container.ImageID)
	r.end(x.of, reason)
}

// end releases the entry of a container that is gone.
func (r *reconciler) end(e Entry, reason string) {
	r.goOrLog("end quarantine", e.Before.ID, "cannot end the quarantine of a removed container", func(ctx context.Context) error {
		_, err := r.m.releaseOne(ctx, e.Before.ID, reason, "")
		return err
	})
}

// quarantine applies the restrictions of an entry to the replacement of its container.
func (r *reconciler) quarantine(x replacement) {
	c, e := x.container, x.of
	o := e.Order
	o.ActionID = event.ID(e.Order.ActionID, "recreated", c.ID)
	o.Container, o.Ordered, o.Deadline = c, time.Now(), time.Time{}
	reason := o.Reason
	if e.Order.Replaces != "" { // else the text grows with every replacement
		reason = "policy " + o.Policy
	}
	o.Reason = fmt.Sprintf("replaces container %s, which is in quarantine: %s", e.Before.ID[:12], reason)
	o.Kind, o.Replaces = e.Want.kind(), e.Before.ID
	o.inherited = &inherited{want: e.Want, origin: e.originID(), originActionIDs: e.OriginActionIDs}
	if e.Origin == "" { // it is the first of the chain
		o.inherited.originActionIDs = e.ActionIDs
	}
	r.goOrLog("quarantine replacement", c.ID, "cannot quarantine the replacement of a quarantined container", func(ctx context.Context) error {
		return r.m.Apply(ctx, o)
	})
}
