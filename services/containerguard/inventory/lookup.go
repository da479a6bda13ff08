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

// LookupError says what was looked for and which containers came close.
type LookupError struct {
	Key        string   // such as "address 172.17.0.2"
	Candidates []string // ids
	Err        error    // ErrUnknown, ErrAmbiguous or ErrUncertain
}

// Error implements error.
func (e *LookupError) Error() string { return fmt.Sprintf("%s: %v", e.Key, e.Err) }

// Unwrap returns the sentinel.
func (e *LookupError) Unwrap() error { return e.Err }

// Result is the container a lookup names.
type Result struct {
	Container docker.Container
	Gone      bool // it is not there any more
	// Since is from when on the key was its own, Until how long: zero while it is.
	Since, Until time.Time
}

// ByID returns the container whose id is or begins with prefix, which must have
// at least 12 hex digits. Gone ones are found too.
func (c *Core) ByID(prefix string) (Result, error) {
	key := "container " + prefix
	if len(prefix) < 12 {
		return Result{}, &LookupError{Key: key, Err: ErrUnknown}
	}
	var ids []string
	for id := range c.records {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 1 {
		r := c.records[ids[0]]
		return Result{Container: r.now, Gone: !r.gone.IsZero(), Since: r.now.Created, Until: r.gone}, nil
	}
	return Result{}, lookupError(key, ids)
}

// ByAddress returns the container that certainly held the address throughout
// at±slack, if no other container may have held it within that span. slack is
// how exact at is; MinSlack is added to it.
func (c *Core) ByAddress(address netip.Addr, at time.Time, slack time.Duration) (Result, error) {
	address = address.Unmap().WithZone("")
	return c.lookup("address "+address.String(), intervalAround(at, slack), func(r *record, visit func(*window)) {
		for i := range r.leases {
			if r.leases[i].address == address {
				visit(&r.leases[i].window)
			}
		}
	})
}

// ByMainPID returns the container whose first process had the process id, as the
// engine's host counts, throughout at±slack.
func (c *Core) ByMainPID(pid int, at time.Time, slack time.Duration) (Result, error) {
	return c.lookup(fmt.Sprintf("process %d", pid), intervalAround(at, slack), func(r *record, visit func(*window)) {
		for i := range r.runs {
			if r.runs[i].pid == pid {
				visit(&r.runs[i].window)
			}
		}
	})
}

// ByName returns the container that had the name throughout at±slack.
func (c *Core) ByName(text string, at time.Time, slack time.Duration) (Result, error) {
	text = strings.TrimPrefix(text, "/")
	return c.lookup("name "+text, intervalAround(at, slack), func(r *record, visit func(*window)) {
		for i := range r.names {
			if r.names[i].name == text {
				visit(&r.names[i].window)
			}
		}
	})
}

// Running tells whether the container was running throughout at±slack, for
// callers that found it by another key.
func (c *Core) Running(id string, at time.Time, slack time.Duration) bool {
	r := c.records[id]
	if r == nil {
		return false
	}
	m := intervalAround(at, slack)
	return slices.ContainsFunc(r.runs, func(w run) bool { return w.covers(m, c.knownUntil) })
}

// List returns all containers that are there, ordered by creation.
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

// lookup visits the windows of every container and returns the one that is certain and alone.
func (c *Core) lookup(key string, m interval, windows func(*record, func(*window))) (Result, error) {
	var sure Result
	var possible []string
	certain := false
	for id, r := range c.records {
		touched := false
		windows(r, func(w *window) {
			touched = touched || w.touches(m)
			if w.covers(m, c.knownUntil) {
				certain = true
				sure = Result{Container: r.now, Gone: !r.gone.IsZero(), Since: w.since, Until: w.until}
			}
		})
		if touched {
			possible = append(possible, id)
		}
	}
	if certain && len(possible) == 1 {
		return sure, nil
	}
	return Result{}, lookupError(key, possible)
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
