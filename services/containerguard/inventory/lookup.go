package inventory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// Why a lookup names no container.
var (
	// ErrUnknown: no container is known to have had the key.
	ErrUnknown = errors.New("no container known")
	// ErrAmbiguous: more than one container may be meant.
	ErrAmbiguous = errors.New("more than one container may be meant")
	// ErrUncertain: one container may have had the key then, but that is not certain.
	ErrUncertain = errors.New("not certain for that time")
)

// LookupError says which key was looked up and which containers may have had it.
type LookupError struct {
	Key        string   // such as "address 172.17.0.2"
	Candidates []string // ids
	Err        error    // ErrUnknown, ErrAmbiguous or ErrUncertain
}

// Error implements error.
func (e *LookupError) Error() string { return fmt.Sprintf("%s: %v", e.Key, e.Err) }

// Unwrap returns Err.
func (e *LookupError) Unwrap() error { return e.Err }

// Result is the container that a lookup names.
type Result struct {
	Container docker.Container
	Gone      bool      // it was removed
	Until     time.Time // when it lost the key; zero while it has it
}

const minIDPrefix = 12 // digits, as Docker prints them

// ByID returns the container, existing or removed, whose id is or begins with prefix,
// which must have at least 12 hex digits.
func (c *Core) ByID(prefix string) (Result, error) {
	var ids []string
	for id := range c.records {
		if len(prefix) >= minIDPrefix && strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 {
		return Result{}, lookupError("container "+prefix, ids)
	}
	r := c.records[ids[0]]
	return Result{Container: r.now, Gone: !r.gone.IsZero(), Until: r.gone}, nil
}

// ByAddress returns the container that certainly had the address throughout at±slack,
// if no other container may have had it in that time. slack is how exact at is;
// MinSlack is added to it.
func (c *Core) ByAddress(address netip.Addr, at time.Time, slack time.Duration) (Result, error) {
	address = address.Unmap().WithZone("")
	return c.lookup("address "+address.String(), intervalAround(at, slack), func(r *record, visit func(*window)) {
		for _, l := range r.leases {
			if l.address == address {
				visit(&l.window)
			}
		}
	})
}

// ByMainPID is ByAddress for the process id of a container's first process, as the host
// counts.
func (c *Core) ByMainPID(pid int, at time.Time, slack time.Duration) (Result, error) {
	return c.lookup(fmt.Sprintf("process %d", pid), intervalAround(at, slack), func(r *record, visit func(*window)) {
		for _, w := range r.runs {
			if w.pid == pid {
				visit(&w.window)
			}
		}
	})
}

// ByName is ByAddress for a container's name.
func (c *Core) ByName(text string, at time.Time, slack time.Duration) (Result, error) {
	text = strings.TrimPrefix(text, "/")
	return c.lookup("name "+text, intervalAround(at, slack), func(r *record, visit func(*window)) {
		for _, n := range r.names {
			if n.text == text {
				visit(&n.window)
			}
		}
	})
}

// Running reports whether the container was running throughout at±slack.
func (c *Core) Running(id string, at time.Time, slack time.Duration) bool {
	r := c.records[id]
	i := intervalAround(at, slack)
	return r != nil && slices.ContainsFunc(r.runs, func(w *run) bool { return w.covers(i, c.knownUntil) })
}

// List returns the containers that exist, by creation.
func (c *Core) List() []docker.Container {
	var out []docker.Container
	for _, r := range c.records {
		if r.gone.IsZero() {
			out = append(out, r.now)
		}
	}
	slices.SortFunc(out, func(a, b docker.Container) int {
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// lookup returns the one container with a window that certainly covers i, if no other
// container's windows touch i. windows visits those of a record that are about key.
func (c *Core) lookup(key string, i interval, windows func(r *record, visit func(*window))) (Result, error) {
	var result Result
	var candidates []string
	certain := false
	for id, r := range c.records {
		touched := false
		windows(r, func(w *window) {
			touched = touched || w.touches(i)
			if w.covers(i, c.knownUntil) {
				certain = true
				result = Result{Container: r.now, Gone: !r.gone.IsZero(), Until: w.possibleTo}
			}
		})
		if touched {
			candidates = append(candidates, id)
		}
	}
	if certain && len(candidates) == 1 {
		return result, nil
	}
	return Result{}, lookupError(key, candidates)
}

func lookupError(key string, candidates []string) error {
	slices.Sort(candidates)
	err := ErrUnknown
	switch {
	case len(candidates) == 1:
		err = ErrUncertain
	case len(candidates) > 1:
		err = ErrAmbiguous
	}
	return &LookupError{Key: key, Candidates: candidates, Err: err}
}
