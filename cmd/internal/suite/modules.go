package suite

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/actioncollector"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/ebpfengine"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/sbomscanner"
)

// Config is the whole of ironpost.toml. Every key is described in ironpost.toml.example.
type Config struct {
	General     General                `toml:"general"`
	Bus         Bus                    `toml:"bus"`
	Health      Health                 `toml:"health"`
	Metrics     Metrics                `toml:"metrics"`
	EBPF        ebpfengine.Config      `toml:"ebpf"`
	LogPipeline logpipeline.Config     `toml:"log_pipeline"`
	Container   containerguard.Config  `toml:"container"`
	SBOM        sbomscanner.Config     `toml:"sbom"`
	Collector   actioncollector.Config `toml:"collector"`
}

// module is one row of the table of modules. A new module needs a row here, a field of
// Config, and a row in bus/modules.go; see docs/add-a-module.md.
type module struct {
	Name    string
	Section string // of the configuration
	Enabled func(Config) bool
	Default func(*Config)                             // sets the section to what holds when nothing is set
	Config  func(Config) sectionConfig                // the section
	New     func(Config, deps) (daemon.Module, error) // nil: the module is not part of this build

	RereadsFiles bool                  // has files of its own that it reads again at every reload
	AlsoReads    []string              // keys of other sections that New reads: a change of one rebuilds the module
	StillActive  func(Config) []string // what of it is still active while it is disabled; may be nil
}

// sectionConfig is the Config of a module.
type sectionConfig interface{ Validate() []setting.Problem }

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
}

// table returns every module, producers before their consumers: it is the order in
// which they start, and in which they stop, so that consumers work off what is left.
func table() []module {
	return []module{
		{
			Name: bus.EBPFEngine, Section: "ebpf",
			Enabled: func(c Config) bool { return c.EBPF.Enabled },
			Default: func(c *Config) { c.EBPF = ebpfengine.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.EBPF },
			New: func(c Config, d deps) (daemon.Module, error) {
				return ebpfengine.New(c.EBPF, ebpfengine.Deps{
					Bus: d.Bus, Peers: d.Peers, Host: d.Host, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				})
			},
			StillActive: func(c Config) []string { return ebpfengine.StillAttached(c.EBPF) },
		},
		{
			Name: bus.SBOMScanner, Section: "sbom",
			Enabled: func(c Config) bool { return c.SBOM.Enabled },
			Default: func(c *Config) { c.SBOM = sbomscanner.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.SBOM },
		},
		{
			Name: bus.LogPipeline, Section: "log_pipeline",
			Enabled: func(c Config) bool { return c.LogPipeline.Enabled },
			Default: func(c *Config) { c.LogPipeline = logpipeline.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.LogPipeline },
			New: func(c Config, d deps) (daemon.Module, error) {
				return logpipeline.New(c.LogPipeline, logpipeline.Deps{
					Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, MachineID: d.MachineID, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
					DockerSocket: c.Container.DockerSocket,
				})
			},
			AlsoReads: []string{"container.docker_socket"},
		},
		{
			Name: bus.ContainerGuard, Section: "container",
			Enabled: func(c Config) bool { return c.Container.Enabled },
			Default: func(c *Config) { c.Container = containerguard.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.Container },
			New: func(c Config, d deps) (daemon.Module, error) {
				return containerguard.New(c.Container, containerguard.Deps{
					Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, Version: Version(), DependsOn: servers(c), InFlight: d.InFlight,
					Log: d.Log, Metrics: d.Metrics,
				})
			},
			RereadsFiles: true,
			AlsoReads:    []string{"log_pipeline.storage.postgres_url", "log_pipeline.storage.redis_url"},
		},
		{
			Name: bus.ActionCollector, Section: "collector",
			Enabled: func(c Config) bool { return c.Collector.Enabled },
			Default: func(c *Config) { c.Collector = actioncollector.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.Collector },
			New: func(c Config, d deps) (daemon.Module, error) {
				return actioncollector.New(c.Collector, actioncollector.Deps{
					Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				})
			},
		},
	}
}

// servers returns host:port of each server that Ironpost depends on: the guard does not
// act on a container that runs one.
func servers(c Config) []string {
	var out []string
	for _, server := range []struct{ urls, port string }{
		{c.Bus.URL, "4222"}, {c.LogPipeline.Storage.PostgresURL, "5432"}, {c.LogPipeline.Storage.RedisURL, "6379"},
	} {
		for text := range strings.SplitSeq(server.urls, ",") {
			u, err := url.Parse(strings.TrimSpace(text))
			if err != nil || u.Hostname() == "" {
				continue // empty, or refused where it is used
			}
			out = append(out, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), server.port)))
		}
	}
	return out
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
			Metrics: reg, MachineID: a.machineID, InFlight: a.bus.inFlight, Peers: a.bus.peers,
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
