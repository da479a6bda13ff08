// Package policy reads the guard's policies and says which of them an alert, and
// the container it is about, satisfies. It does nothing itself and knows no Docker.
//
// Policies are TOML, several to a file as [[policy]], or one to a file in the form
// of the Rust Ironpost. Loading is strict and whole: every mistake is told at once
// with file, line and column, and then no policy of the folder is used, for with one
// missing another would match in its place.
package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Kind is what a policy does.
type Kind string

// The kinds of action.
const (
	Pause       Kind = "pause"        // freeze the container's processes
	Disconnect  Kind = "disconnect"   // take it off every network
	Isolate     Kind = "isolate"      // pause, take evidence, disconnect
	Kill        Kind = "kill"         // SIGKILL, no handler runs
	Stop        Kind = "stop"         // pause, then kill: a stop would thaw it
	BlockSource Kind = "block-source" // drop the source address in the kernel
	Notify      Kind = "notify"       // tell the webhook
)

var kinds = []Kind{Pause, Disconnect, Isolate, Kill, Stop, BlockSource, Notify}

// OnContainer reports whether k needs a container.
func (k Kind) OnContainer() bool { return k != BlockSource && k != Notify }

// AttributionMethod is a way from an alert to a container.
type AttributionMethod string

// The ways, in the order in which they are tried. The first four are the default;
// an address that was attacked, an image and a label name a container only where
// the policy says so.
const (
	ByID      AttributionMethod = "id"
	ByPID     AttributionMethod = "pid"
	ByAddress AttributionMethod = "address" // the source address, at the time of the alert
	ByName    AttributionMethod = "name"
	ByTarget  AttributionMethod = "target" // the address that was attacked
	ByImage   AttributionMethod = "image"
	ByLabel   AttributionMethod = "label"
)

var attributionMethods = []AttributionMethod{ByID, ByPID, ByAddress, ByName, ByTarget, ByImage, ByLabel}

// DefaultAttribution is what a policy goes by that does not say.
func DefaultAttribution() []AttributionMethod {
	return []AttributionMethod{ByID, ByPID, ByAddress, ByName}
}

// What holds where a policy does not say.
const (
	DefaultPriority = 100
	DefaultCooldown = 5 * time.Minute
	DefaultBlockTTL = time.Hour
)

// Policy is one answer to some alerts.
type Policy struct {
	ID          string
	Name        string
	Description string
	Enabled     bool
	Priority    int // the lowest goes first
	Match       Match
	Require     Require
	AttributeBy []AttributionMethod
	Actions     []Kind
	TTL         time.Duration // until containers are released; 0: a person does it
	BlockTTL    time.Duration
	Cooldown    time.Duration // in which the same target is left alone after an action
	DryRun      bool
	Continue    bool // policies after this one are looked at as well
	Position    Position
}

// ContainerActions returns what p does to a container, in the order given.
func (p *Policy) ContainerActions() []Kind {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(k Kind) bool { return !k.OnContainer() })
}

// Does reports whether k is among p's actions.
func (p *Policy) Does(k Kind) bool { return slices.Contains(p.Actions, k) }

// Require is what must come together before a policy acts: Alerts that are
// independent, of different rules or, with Modules, of different modules, about the
// same target within Within. One alert is enough if Alerts is below 2.
type Require struct {
	Alerts  int
	Within  time.Duration
	Modules bool
}

// Position is where something stands in a file; line and column count from 1.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Set is what was loaded: enabled policies and others, in the order in which they
// are looked at. It is never changed.
type Set struct {
	Policies []*Policy
	Warnings []Problem // allowed, but perhaps not what was meant
	Files    int
}

// newSet orders policies: priority first, then as they were read.
func newSet(policies []*Policy) *Set {
	slices.SortStableFunc(policies, func(a, b *Policy) int { return cmp.Compare(a.Priority, b.Priority) })
	return &Set{Policies: policies}
}

// Enabled returns the policies in force.
func (s *Set) Enabled() []*Policy {
	if s == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Policies), func(p *Policy) bool { return !p.Enabled })
}

// atLeast reports whether a is as severe as low.
func atLeast(a, low event.Severity) bool { return a >= low }
