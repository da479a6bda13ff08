package suite

import (
	"cmp"
	"net"
	"net/url"
	"strings"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/storage"
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

// sections is the table of the modules' sections, producers before their consumers: it is the order in which modules
// start, and in which they stop, so that consumers work off what is left. A new module needs a field of Config, a row here,
// its function in Modules, and a row in bus/modules.go; see docs/add-a-module.md.
func sections() []section {
	return []section{
		{
			Name: bus.EBPFEngine, Section: "ebpf",
			Enabled: func(c Config) bool { return c.EBPF.Enabled },
			Default: func(c *Config) { c.EBPF = ebpfengine.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.EBPF },
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
		},
		{
			Name: bus.ContainerGuard, Section: "container",
			Enabled: func(c Config) bool { return c.Container.Enabled },
			Default: func(c *Config) { c.Container = containerguard.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.Container },
		},
		{
			Name: bus.ActionCollector, Section: "collector",
			Enabled: func(c Config) bool { return c.Collector.Enabled },
			Default: func(c *Config) { c.Collector = actioncollector.DefaultConfig() },
			Config:  func(c Config) sectionConfig { return c.Collector },
		},
	}
}

// Modules returns every module of this build. Each has a function of its own, so that the program
// of one module does not link the others.
func Modules() []Module {
	return []Module{
		EBPFEngine(),
		SBOMScanner(),
		LogPipeline(),
		ContainerGuard(),
		ActionCollector(),
	}
}

// EBPFEngine returns the packet engine.
func EBPFEngine() Module {
	return Module{
		of: bus.EBPFEngine, metricsOffset: 1,
		New: func(c Config, d deps) (daemon.Module, error) {
			return ebpfengine.New(c.EBPF, ebpfengine.Deps{
				Bus: d.Bus, Peers: d.Peers, Host: d.Host, DataDir: d.DataDir, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				Trusted: d.Trusted,
			})
		},
		Check:       func(c Config) []error { return ebpfengine.CheckFeeds(c.EBPF) },
		StillActive: func(c Config) []string { return ebpfengine.StillAttached(c.EBPF) },
	}
}

// SBOMScanner returns the SBOM scanner.
func SBOMScanner() Module {
	return Module{
		of: bus.SBOMScanner, metricsOffset: 3,
		New: func(c Config, d deps) (daemon.Module, error) {
			return sbomscanner.New(c.SBOM, sbomscanner.Deps{
				Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, MachineID: d.MachineID, Version: Version(), Log: d.Log, Metrics: d.Metrics,
				DockerSocket: cmp.Or(c.SBOM.DockerSocket, c.Container.DockerSocket),
			})
		},
		RereadsFiles: true,
		Check:        func(c Config) []error { return sbomscanner.CheckExceptions(c.SBOM) },
		AlsoReads:    []string{"container.docker_socket"},
	}
}

// LogPipeline returns the log pipeline.
func LogPipeline() Module {
	return Module{
		of: bus.LogPipeline, metricsOffset: 2,
		New: func(c Config, d deps) (daemon.Module, error) {
			return logpipeline.New(c.LogPipeline, logpipeline.Deps{
				Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, MachineID: d.MachineID, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				DockerSocket: c.Container.DockerSocket, TrustImageLabels: c.Container.TrustImageLabels,
				Trusted: d.Trusted,
			})
		},
		RereadsFiles: true,
		Check:        func(c Config) []error { return logpipeline.CheckFiles(c.LogPipeline) },
		AlsoReads:    []string{"container.docker_socket", "container.trust_image_labels"},
	}
}

// ContainerGuard returns the container guard.
func ContainerGuard() Module {
	return Module{
		of: bus.ContainerGuard, metricsOffset: 4,
		New: func(c Config, d deps) (daemon.Module, error) {
			return containerguard.New(c.Container, containerguard.Deps{
				Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, Version: Version(), DependsOn: servers(c), InFlight: d.InFlight,
				Log: d.Log, Metrics: d.Metrics, Trusted: d.Trusted,
			})
		},
		RereadsFiles: true,
		Check:        func(c Config) []error { return containerguard.CheckPolicies(c.Container) },
		AlsoReads:    []string{"log_pipeline.storage.postgres_url", "log_pipeline.storage.redis_url"},
	}
}

// ActionCollector returns the action collector.
func ActionCollector() Module {
	return Module{
		of: bus.ActionCollector, metricsOffset: 5,
		New: func(c Config, d deps) (daemon.Module, error) {
			return actioncollector.New(c.Collector, actioncollector.Deps{
				Bus: d.Bus, Host: d.Host, DataDir: d.DataDir, Log: d.Log, Metrics: d.Metrics, InFlight: d.InFlight,
				Storage: storage.Config{
					URL: recordsURL(c), BatchSize: c.LogPipeline.BatchSize, RetentionDays: c.LogPipeline.Storage.RetentionDays,
				},
			})
		},
		AlsoReads: []string{"log_pipeline.storage.postgres_url", "log_pipeline.batch_size"},
	}
}

// recordsURL returns where alerts and actions are stored, "" if nowhere. Those of an edge are stored
// by its hub.
func recordsURL(c Config) string {
	if c.Bus.Hub != "" {
		return ""
	}
	return c.LogPipeline.Storage.PostgresURL
}

// sinks returns the sinks that c configures. Where the modules run apart, the configuration of
// the daemon that runs the bus decides: it makes the durables.
func sinks(c Config) map[string]bool {
	return map[string]bool{
		bus.SinkName(bus.ActionCollector, bus.SinkPostgreSQL): recordsURL(c) != "",
	}
}

// servers returns host:port of each server that Ironpost depends on: the guard does not
// act on a container that runs one.
func servers(c Config) []string {
	var out []string
	for _, server := range []struct{ urls, port string }{
		{c.Bus.URL, "4222"}, {c.Bus.Hub, "4222"}, {c.LogPipeline.Storage.PostgresURL, "5432"}, {c.LogPipeline.Storage.RedisURL, "6379"},
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
