package quarantine

import (
	"fmt"
	"slices"
	"strings"
)

// A held container that is made anew is one of a family: the entry of what is there
// stands for those before it, which are ended when they are gone. All share the id of
// the first.

// origin is the id of the first of e's family.
func (e *Entry) origin() string {
	if e.Origin != "" {
		return e.Origin
	}
	return e.Before.ID
}

// past are the orders of the first of e's family.
func (e *Entry) past() []string {
	if e.Origin == "" {
		return e.ActionIDs
	}
	return e.OriginActionIDs
}

// called tells that e is, or was made in place of, the container whose id begins with prefix.
func (e *Entry) called(prefix string) bool {
	return slices.ContainsFunc([]string{e.Before.ID, e.Replaces, e.Origin}, func(id string) bool {
		return strings.HasPrefix(id, prefix)
	})
}

// succeeded tells that another entry stands for e: it was made in its place and is held.
func succeeded(entries []Entry, e Entry) bool {
	return slices.ContainsFunc(entries, func(x Entry) bool {
		return x.Replaces == e.Before.ID && x.Begun && x.State != Releasing
	})
}

// family returns the ids of an entry and of all that replaced it or that it replaced.
func (m *Manager) family(id string) []string {
	entries := m.List()
	at := slices.IndexFunc(entries, func(e Entry) bool { return e.Before.ID == id || e.Replaces == id || e.Origin == id })
	if at < 0 || id == "" {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.origin() == entries[at].origin() {
			out = append(out, e.Before.ID)
		}
	}
	return out
}

// minPrefix is how much of an id must be given.
const minPrefix = 4

// Find returns the id of the entry that is meant: by its container's name, by the
// beginning of its id, or of the id of the one it replaced or of the first of them.
// Of several of a family it is the newest.
func (m *Manager) Find(text string) (string, error) {
	var found []Entry
	for _, e := range m.List() {
		if e.Before.Name == text || len(text) >= minPrefix && e.called(text) {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w: %s", ErrNotQuarantined, text)
	}
	newest := found[len(found)-1]
	if slices.ContainsFunc(found, func(e Entry) bool { return e.origin() != newest.origin() }) {
		return "", fmt.Errorf("%w: %s", ErrAmbiguous, text)
	}
	return newest.Before.ID, nil
}
