package suite

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/setting"
)

// section is one row of the table of sections: what the configuration holds for a module.
type section struct {
	Name    string // of the module, as in package bus
	Section string // "log_pipeline"
	Enabled func(Config) bool
	Default func(*Config)              // sets the section to what holds when nothing is set
	Config  func(Config) sectionConfig // the section
}

// sectionConfig is the Config of a module.
type sectionConfig interface{ Validate() []setting.Problem }

// Module is a module that a program may run.
type Module struct {
	of  string // its name
	New func(Config, deps) (daemon.Module, error)

	RereadsFiles  bool // has files of its own that it reads again at every reload
	metricsOffset int  // of the port of its own program, counted from the daemon's

	Check func(Config) []error // reads the files of its own, and returns what is wrong with them; may be nil

	AlsoReads   []string              // keys of other sections that New reads: a change of one rebuilds the module
	StillActive func(Config) []string // what of it is still active while it is disabled; may be nil
}

// deps are what every module gets.
type deps struct {
	Bus       *bus.Conn
	Host      string
	DataDir   string // the module's own folder
	Log       logrus.FieldLogger
	Metrics   prometheus.Registerer
	MachineID string
	InFlight  bus.InFlight
	Peers     func() []netip.Addr // other machines whose modules are connected
	Trusted   ownership.Users     // see ownership.Users
}

// module is a section and its module. Without New it is not part of the program.
type module struct {
	section
	Module
}

// running reports whether a module is enabled and part of this build.
func (m module) running(c Config) bool { return m.New != nil && m.Enabled(c) }

// build returns the constructor for the supervisor, for the configuration cfg. Each
// instance has a metrics registry of its own, which replaces the previous one's when it runs.
func (a *app) build(m module, cfg Config) daemon.Build {
	if m.New == nil {
		return nil
	}
	return func(context.Context) (daemon.Module, error) {
		dir := filepath.Join(a.cfg.General.DataDir, m.Name)
		if err := os.MkdirAll(dir, folderMode); err != nil {
			return nil, fmt.Errorf("folder of the module: %w", err)
		}
		reg := prometheus.NewRegistry()
		made, err := m.New(cfg, deps{
			Bus: a.bus.modules[m.Name], Host: a.cfg.General.Host, DataDir: dir, Log: a.log.WithField("module", m.Name),
			Metrics: reg, MachineID: a.machineID, InFlight: a.bus.inFlight, Peers: a.bus.peers, Trusted: a.source.trusted(cfg),
		})
		if err != nil {
			return nil, err
		}
		return &withMetrics{Module: made, expose: func() { a.registry.Use(m.Name, reg) }}, nil
	}
}

// withMetrics is a module whose metrics are exposed from the start of Run. It implements
// what the module may implement beyond daemon.Module.
type withMetrics struct {
	daemon.Module
	expose func()
}

// PrepareReload implements daemon.Reloader; a module that is none is built again.
func (m *withMetrics) PrepareReload(ctx context.Context, cfg any) (commit func(), err error) {
	if r, ok := m.Module.(daemon.Reloader); ok {
		return r.PrepareReload(ctx, cfg)
	}
	return nil, nil
}

// Started implements daemon.Starter; a module that is none has started at once.
func (m *withMetrics) Started() <-chan struct{} {
	if s, ok := m.Module.(daemon.Starter); ok {
		return s.Started()
	}
	done := make(chan struct{})
	close(done)
	return done
}

// Run implements daemon.Module.
func (m *withMetrics) Run(ctx context.Context) error {
	m.expose()
	return m.Module.Run(ctx)
}
