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
	"github.com/ironpost/ironpost/services/actioncollector"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/ebpfengine"
	"github.com/ironpost/ironpost/services/logpipeline"
)

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

// module is one line of the table of modules. New is nil for one that is not part
// of this build.
type module struct {
	Name    string
	Section string   // of the configuration
	Rereads bool     // files of its own at every reload, changed keys or not
	Borrows []string // keys of other sections that New reads; a change of one asks for a new instance
	Enabled func(Config) bool
	Config  func(Config) any // the section
	New     func(Config, deps) (daemon.Module, error)
	Left    func(Config) []string // what of it is in force while it is disabled; may be nil
}

// table is every module of Ironpost, in the order they are started.
func table() []module {
	return []module{
		{
			Name: bus.EBPFEngine, Section: "ebpf",
			Enabled: func(c Config) bool { return c.EBPF.Enabled },
			Config:  func(c Config) any { return c.EBPF },
			New: func(c Config, d deps) (daemon.Module, error) {
				return ebpfengine.New(c.EBPF, ebpfengine.Deps{
					Bus: d.Bus, Peers: d.Peers, Host: d.Host, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				})
			},
			Left: func(c Config) []string { return ebpfengine.StillAttached(c.EBPF) },
		},
		{
			Name: bus.LogPipeline, Section: "log_pipeline", Borrows: []string{"container.docker_socket"},
			Enabled: func(c Config) bool { return c.LogPipeline.Enabled },
			Config:  func(c Config) any { return c.LogPipeline },
			New: func(c Config, d deps) (daemon.Module, error) {
				return logpipeline.New(c.LogPipeline, logpipeline.Deps{
					Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, MachineID: d.MachineID, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
					DockerSocket: c.Container.DockerSocket,
				})
			},
		},
		{
			Name: bus.SBOMScanner, Section: "sbom",
			Enabled: func(c Config) bool { return c.SBOM.Enabled },
			Config:  func(c Config) any { return c.SBOM },
		},
		{
			Name: bus.ContainerGuard, Section: "container", Rereads: true,
			Borrows: []string{"log_pipeline.storage.postgres_url", "log_pipeline.storage.redis_url"},
			Enabled: func(c Config) bool { return c.Container.Enabled },
			Config:  func(c Config) any { return c.Container },
			New: func(c Config, d deps) (daemon.Module, error) {
				return containerguard.New(c.Container, containerguard.Deps{
					Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, Version: Version(), DependsOn: needs(c), InFlight: d.InFlight,
					Log: d.Log, Metrics: d.Metrics,
				})
			},
		},
		{
			Name: bus.ActionCollector, Section: "collector",
			Enabled: func(c Config) bool { return c.Collector.Enabled },
			Config:  func(c Config) any { return c.Collector },
			New: func(c Config, d deps) (daemon.Module, error) {
				return actioncollector.New(c.Collector, actioncollector.Deps{
					Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				})
			},
		},
	}
}

// needs returns host:port of what Ironpost depends on: the guard leaves containers
// that serve it alone.
func needs(c Config) []string {
	var out []string
	for _, server := range []struct{ urls, port string }{
		{c.Bus.URL, "4222"}, {c.LogPipeline.Storage.PostgresURL, "5432"}, {c.LogPipeline.Storage.RedisURL, "6379"},
	} {
		for text := range strings.SplitSeq(server.urls, ",") {
			u, err := url.Parse(strings.TrimSpace(text))
			if err != nil || u.Hostname() == "" {
				continue // empty, or refused by who connects
			}
			out = append(out, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), server.port)))
		}
	}
	return out
}

// stopOrder has producers stop before those who consume what they produced, which
// then work off what is left.
func stopOrder() []string {
	return []string{bus.EBPFEngine, bus.SBOMScanner, bus.LogPipeline, bus.ContainerGuard, bus.ActionCollector}
}

// running tells whether a module is enabled and part of this build.
func (m module) running(c Config) bool { return m.New != nil && m.Enabled(c) }

// build returns the constructor for the supervisor, for the configuration cfg. Each
// instance registers its metrics anew; they are shown once it runs.
func (h *house) build(m module, cfg Config) daemon.Build {
	if m.New == nil {
		return nil
	}
	return func(context.Context) (daemon.Module, error) {
		dir := filepath.Join(h.cfg.General.DataDir, m.Name)
		if err := os.MkdirAll(dir, folderMode); err != nil {
			return nil, fmt.Errorf("folder of the module: %w", err)
		}
		reg := prometheus.NewRegistry()
		made, err := m.New(cfg, deps{
			Bus: h.bus.conns[m.Name], Host: h.cfg.General.Host, DataDir: dir, Log: h.log.WithField("module", m.Name),
			Metrics: reg, MachineID: h.machineID, InFlight: h.bus.inFlight, Peers: h.bus.peers,
		})
		if err != nil {
			return nil, err
		}
		return &shown{Module: made, show: func() { h.registry.Use(m.Name, reg) }}, nil
	}
}

// shown is a module whose metrics are shown from its start. It passes on what the
// module can do beyond daemon.Module.
type shown struct {
	daemon.Module
	show func()
}

// PrepareReload implements daemon.Reloader; a module that is none is built anew.
func (s *shown) PrepareReload(ctx context.Context, cfg any) (commit func(), err error) {
	if r, ok := s.Module.(daemon.Reloader); ok {
		return r.PrepareReload(ctx, cfg)
	}
	return nil, nil
}

// Started implements daemon.Starter; a module that is none has started at once.
func (s *shown) Started() <-chan struct{} {
	if m, ok := s.Module.(daemon.Starter); ok {
		return m.Started()
	}
	done := make(chan struct{})
	close(done)
	return done
}

// Run implements daemon.Module.
func (s *shown) Run(ctx context.Context) error {
	s.show()
	return s.Module.Run(ctx)
}
