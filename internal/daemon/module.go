package daemon

import (
	"context"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Module is one service. Its constructor starts nothing and holds nothing that
// only Run would release, so that an instance may be thrown away unused.
type Module interface {
	// Run blocks until ctx ends, waits for its goroutines before it returns, and
	// returns nil only then. It is called once.
	Run(ctx context.Context) error
	// Health is called from several goroutines, also before and after Run.
	Health() event.ModuleHealth
}

// Starter is a Module that needs a moment before it does its work, such as to open
// its listeners. The daemon is ready when every Starter has started or failed.
type Starter interface {
	// Started is closed once the module works. A module whose Run fails before that
	// need not close it.
	Started() <-chan struct{}
}

// Reloader is a Module that takes a new configuration while it runs. Any other
// module is stopped and built again.
type Reloader interface {
	// PrepareReload checks cfg, the module's own Config, and prepares the change. Nothing
	// changes until commit is called, which may never happen. A nil commit
	// without an error asks to be stopped and built again.
	PrepareReload(ctx context.Context, cfg any) (commit func(), err error)
}

// Build makes a module; it is called again for each restart.
type Build func(ctx context.Context) (Module, error)

// Spec is one row of the table of modules.
type Spec struct {
	Name    string
	Enabled bool
	New     Build // nil: the module is not part of this build
	// StillActive returns, without delay, what of a disabled module is still active, such as
	// a program in the kernel; its health shows it. Optional.
	StillActive func() []string
}

// Step is something to close after the modules, such as a connection.
type Step struct {
	Name  string
	Close func(ctx context.Context) error
}

// Change is one key whose value a reload changes, secrets already redacted.
// Restart says that the new value is used only after a restart of the daemon.
type Change struct {
	Key, Old, New string
	Restart       bool
}

// ModulePlan is the new configuration of one module.
type ModulePlan struct {
	Name    string
	Config  any   // for a Reloader
	New     Build // for later restarts
	Rebuild bool  // build a new instance even of a Reloader: the change is not in Config
}

// Plan is a new configuration that was read and found valid. Commit, which may
// be nil, applies what belongs to no module; it cannot fail.
type Plan struct {
	Changes []Change
	Modules []ModulePlan
	Commit  func()
}

// The wait before a restart grows from minBackoff to maxBackoff, each time up to 25 % less
// at random (backoff.Delay). It starts again from minBackoff after a run of at least backoffReset.
const (
	minBackoff   = time.Second
	maxBackoff   = time.Minute
	backoffReset = time.Minute
)

// startTimeout bounds how long the daemon waits for its modules before it reports that
// it is ready; the health of a late module says "starting".
const startTimeout = 5 * time.Second
