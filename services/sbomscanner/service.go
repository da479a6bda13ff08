package sbomscanner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

// Name is the module's name on the bus and in the table of modules.
const Name = bus.SBOMScanner

// The folders below Deps.DataDir.
const (
	FindingsFolder    = "findings"
	inventoriesFolder = "inventories"
	temporaryFolder   = "tmp"
)

// Deps are what the service works with. All but DockerSocket, Version and Metrics must be set.
type Deps struct {
	Bus  *bus.Conn
	Host string // this machine on the bus, one subject token
	// DataDir is the service's own folder, made with mode 0700 if it is missing. It holds findings, inventories, documents (sbom) and,
	// while an image is scanned, its layers (tmp).
	DataDir   string
	MachineID string // part of every alert id
	Version   string // of this program, for documents
	// DockerSocket is the socket of the Docker API; empty means /var/run/docker.sock.
	DockerSocket string
	Log          logrus.FieldLogger
	Metrics      prometheus.Registerer // nil: no metrics
}

// Service is the SBOM scanner. It implements daemon.Module and daemon.Starter. A new configuration needs a new Service, which costs
// little: findings and inventories are on the disk.
type Service struct {
	cfg        Config
	deps       Deps
	log        logrus.FieldLogger
	reasons    *health.Reasons
	suppressed *suppression.List
	dirs       []string
	extractor  *extract.Extractor
	cache      *extract.Cache
	engine     *osvscanner.Engine // nil: our own

	counters
	snapshot  atomic.Pointer[snapshot] // of the loop
	publisher atomic.Pointer[bus.Publisher]
}

// New returns a Service and starts nothing. A mistake in the ignore file or an OpenVEX document is an error.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Bus == nil || deps.Log == nil || deps.Host == "" || !filepath.IsAbs(deps.DataDir) || !filepath.IsAbs(cfg.VulnDBPath) {
		return nil, errors.New("SBOM scanner: bus, log, host, and absolute folders of data and of the vulnerability database must be given")
	}
	suppressed, err := suppression.Load(cfg.IgnoreFile, cfg.VEXFiles, time.Now())
	if err != nil {
		return nil, fmt.Errorf("SBOM scanner: findings that are not reported: %w", err)
	}
	dirs, err := cfg.dirs()
	if err != nil {
		return nil, fmt.Errorf("SBOM scanner: scan_dirs: %w", err)
	}
	extractor, cache, err := newExtractor(cfg, deps)
	if err != nil {
		return nil, fmt.Errorf("SBOM scanner: %w", err)
	}
	s := &Service{
		extractor: extractor, cache: cache,
		cfg: cfg, deps: deps, log: deps.Log.WithField("service", Name), reasons: health.New(Name, deps.Host), suppressed: suppressed, dirs: dirs,
	}
	if cfg.Engine == engineOSV {
		if s.engine, err = osvscanner.Find(osvscanner.Options{TempDir: filepath.Join(deps.DataDir, temporaryFolder)}); err != nil {
			return nil, fmt.Errorf("SBOM scanner: engine = %q: %w", engineOSV, err)
		}
	}
	s.snapshot.Store(&snapshot{})
	return s, nil
}

// Started is closed once the database is open and every folder has been scanned, or could not be. It may be called concurrently.
func (s *Service) Started() <-chan struct{} { return s.reasons.WhenStarted() }

// Run scans, matches and publishes until ctx ends. What is wrong with an asset, Docker, the network or the database makes the module
// degraded and is tried again; an error is for what a restart may repair. It is called once.
func (s *Service) Run(ctx context.Context) (err error) {
	defer s.reasons.Started() // also after an early return
	if err := os.MkdirAll(filepath.Join(s.deps.DataDir, temporaryFolder), 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	pub, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: Name, Host: s.deps.Host})
	if err != nil {
		return err
	}
	defer pub.Close()
	s.publisher.Store(pub)
	l, err := newLoop(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	unexport, err := s.exportMetrics()
	if err != nil {
		return err
	}
	defer unexport()
	after := l.findings.LastSeq()
	g := task.New(ctx)
	g.Go("SBOM scanner", l.run)
	g.Go("alert publisher", func(ctx context.Context) error { return s.publish(ctx, pub, l, after) })
	g.Go("extractor", l.worker.run)
	g.Go("folder watcher", l.watcher.run)
	g.Go("database updater", l.updater.run)
	if l.images != nil {
		g.Go("image watcher", l.images.run)
	}
	return g.Wait()
}
