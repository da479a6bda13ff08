package policy

import (
	"cmp"
	"slices"
	"time"
)

// Kind is an action of a policy.
type Kind string

// The actions.
const (
	CutEgress   Kind = "cut-egress"   // it goes on serving, but begins no connections
	Pause       Kind = "pause"        // freeze the container's processes
	Disconnect  Kind = "disconnect"   // take it off every network
	Isolate     Kind = "isolate"      // pause, disconnect, then save evidence
	Kill        Kind = "kill"         // SIGKILL, so no handler runs
	Stop        Kind = "stop"         // pause, save evidence, then kill: Docker's stop would unpause it
	BlockSource Kind = "block-source" // drop the source address in the kernel
	Notify      Kind = "notify"       // send to the webhook
)

var kinds = []Kind{CutEgress, Pause, Disconnect, Isolate, Kill, Stop, BlockSource, Notify}

// OnContainer reports whether k acts on a container.
func (k Kind) OnContainer() bool { return k != BlockSource && k != Notify }

// StopsService reports whether after k the container serves nobody.
func (k Kind) StopsService() bool { return k.OnContainer() && k != CutEgress }

// AttributionMethod is a way to find the container of an alert.
type AttributionMethod string

// The methods. The first four are the default; the others name a container only where the
// policy asks for them, since they may name a victim or several containers.
const (
	ByID      AttributionMethod = "id"
	ByPID     AttributionMethod = "pid"
	ByAddress AttributionMethod = "address" // the source address, at the time of the alert
	ByName    AttributionMethod = "name"
	ByTarget  AttributionMethod = "target" // the attacked address
	ByImage   AttributionMethod = "image"
	ByLabel   AttributionMethod = "label"
)

var attributionMethods = []AttributionMethod{ByID, ByPID, ByAddress, ByName, ByTarget, ByImage, ByLabel}

// DefaultAttribution returns the methods of a policy without attribute_by.
func DefaultAttribution() []AttributionMethod {
	return []AttributionMethod{ByID, ByPID, ByAddress, ByName}
}

// The defaults of a policy.
const (
	DefaultPriority    = 100
	DefaultCooldown    = 5 * time.Minute
	DefaultBlockTTL    = time.Hour
	DefaultSigns       = 2
	DefaultSignsWithin = 10 * time.Minute
)

// Policy says what to do about some alerts.
type Policy struct {
	ID          string
	Name        string
	Description string
	Enabled     bool
	Priority    int // the lowest is evaluated first
	Match       Match
	Require     Require
	AttributeBy []AttributionMethod
	Actions     []Kind // of all steps
	Steps       []Step
	TTL         time.Duration // until containers are released; 0: until an operator does it
	BlockTTL    time.Duration
	BlockRate   int           // new attempts of the source per second that pass; 0: nothing passes
	Widen       bool          // block the IPv6 /64 of blocked addresses, if many are and the packet engine knows nothing against it
	Cooldown    time.Duration // in which the same target is not acted on again
	DryRun      bool
	Continue    bool // later policies are evaluated too
	Position    Position
}

// ContainerActions returns the actions on a container, in the order given.
func (p *Policy) ContainerActions() []Kind {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(k Kind) bool { return !k.OnContainer() })
}

// Does reports whether k is among p's actions.
func (p *Policy) Does(k Kind) bool { return slices.Contains(p.Actions, k) }

// Require is what a policy needs before it acts: Alerts of different rules, or with Modules of
// different modules, about the same target within Within. One alert is enough if Alerts is
// below 2. NoProof lets it act whatever the trust of the alert. Of actions on a container, Signs is how many
// independent signs about it there must be within SignsWithin, 1 or 2; NoProof needs one.
type Require struct {
	Alerts      int
	Within      time.Duration
	Modules     bool
	NoProof     bool
	Signs       int
	SignsWithin time.Duration
}

// Tags of a rule that say whom it describes.
const (
	TagSourceAttacker = "ironpost.source.attacker"
	TagSourceVictim   = "ironpost.source.victim"
	TagLoggerActor    = "ironpost.logger.actor"
	TagLoggerVictim   = "ironpost.logger.victim"
	TagConclusive     = "ironpost.conclusive" // no second sign is needed
)

// Set holds the loaded policies, disabled ones included, in the order of evaluation. It is
// never changed.
type Set struct {
	Policies []*Policy
	Warnings []Problem // allowed, but perhaps not intended
	Mistakes []Problem // patterns and actions without effect
	Files    int

	patterns []pattern // of rules and tags
}

// newSet orders policies by priority, then as they were read.
func newSet(policies []*Policy) *Set {
	slices.SortStableFunc(policies, func(a, b *Policy) int { return cmp.Compare(a.Priority, b.Priority) })
	return &Set{Policies: policies}
}

// Enabled returns the policies in force.
func (s *Set) Enabled() []*Policy {
	return slices.DeleteFunc(slices.Clone(s.Policies), func(p *Policy) bool { return !p.Enabled })
}
