// Package daemon supervises the modules of one program: it starts them in the
// order of a table, restarts the one that fails while the others go on, sums
// their health, reloads their configuration all or nothing, and stops producers
// before consumers. It knows neither what a module does nor the bus.
package daemon

import (
	"context"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Module is one service. Its constructor starts nothing and holds nothing that
// only Run would give back, so that an instance may be thrown away unused.
type Module interface {
	// Run blocks until ctx ends, has its goroutines end before it returns, and
	// returns nil only then. It is called once.
	Run(ctx context.Context) error
	// Health is called from several goroutines, also before and after Run.
	Health() event.ModuleHealth
}

// Starter is a Module that needs a moment before it does its work, such as to open
// its listeners. The daemon is ready when every Starter has started.
type Starter interface {
	// Started is closed once the module works, at the latest when Run returns.
	Started() <-chan struct{}
}

// Reloader is a Module that takes a new configuration while it runs. One that
// is none is stopped and built anew.
type Reloader interface {
	// PrepareReload checks cfg, the module's own Config, and readies it. Nothing
	// changes until commit is called; it may also never be called. A nil commit
	// without an error asks to be stopped and built anew.
	PrepareReload(ctx context.Context, cfg any) (commit func(), err error)
}

// Build makes a module; it is called again for each restart.
type Build func(ctx context.Context) (Module, error)

// Spec is one line of the table of modules. New is nil for a module that is not
// part of this build. Left, which may be nil, says quickly what of a disabled module is still in
// force; its status shows it.
type Spec struct {
	Name    string
	Enabled bool
	New     Build
	Left    func() []string
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

// ModulePlan is the new configuration of one module: Config for a Reloader, New
// for the restarts to come. Anew asks for a new instance even of a Reloader: what
// changed is not in Config.
type ModulePlan struct {
	Name   string
	Config any
	New    Build
	Anew   bool
}

// Plan is a new configuration that was read and found valid. Commit, which may
// be nil, puts in force what belongs to no module; it cannot fail.
type Plan struct {
	Changes []Change
	Modules []ModulePlan
	Commit  func()
}

// minRestart and maxRestart bound the wait before a restart; calm is how long a
// module must have run for the wait to begin anew.
const (
	minRestart = time.Second
	maxRestart = time.Minute
	calm       = time.Minute
)

// startTime bounds how long the daemon waits for its modules before it is ready
// without them; health tells how they are.
const startTime = 5 * time.Second
