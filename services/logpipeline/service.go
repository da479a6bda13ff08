package logpipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/series"
)

// Name is the module's name on the bus and in the table of modules.
const Name = bus.LogPipeline

// Deps are the dependencies of a Service. All but DockerSocket, TrustImageLabels, AuditWait and Metrics must be set.
type Deps struct {
	Bus  *bus.Conn
	Host string // this machine on the bus, one subject token
	// DataDir is the service's own folder, created with mode 0700 if missing. It holds checkpoint.json,
	// crashes.json (the crash record), and the folders spool and rows.
	DataDir   string
	MachineID string // part of every alert id
	InFlight  bus.InFlight
	// DockerSocket is the socket of the Docker API; empty means /var/run/docker.sock.
	DockerSocket string
	// TrustImageLabels are patterns of images whose labels may turn the reading of their containers' logs off.
	TrustImageLabels []string
	Log              logrus.FieldLogger
	Metrics          prometheus.Registerer // nil: no metrics
	// AuditWait is how long an audit event waits for its next record; 0 means two seconds.
	AuditWait time.Duration
	// Trusted are the users who alone may be able to change rules that are read again without a reload; nil: everyone.
	Trusted ownership.Users
}

// Service is the log pipeline. It implements daemon.Module and daemon.Reloader.
type Service struct {
	deps    Deps
	log     logrus.FieldLogger
	reasons *health.Reasons
	counters

	pendingReload atomic.Pointer[reload] // the newest one that is not applied yet

	mu      sync.Mutex // guards what follows, which Health reads
	cfg     Config
	rules   *ruleSet
	formats *formatSet
	sources *sources       // nil until Run
	pub     *bus.Publisher // nil until Run
}

// New returns a Service and starts nothing. A rules path that cannot be read is reported in Health and tried
// again, an invalid rule file in it is reported and left out. It returns an error if deps are incomplete.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Bus == nil || deps.Log == nil {
		return nil, errors.New("log pipeline: no bus or no log given")
	}
	if deps.Host == "" || !filepath.IsAbs(deps.DataDir) {
		return nil, fmt.Errorf("log pipeline: host %q and data folder %q must be set, the folder absolute", deps.Host, deps.DataDir)
	}
	s := &Service{
		deps: deps, log: deps.Log.WithField("service", Name), reasons: health.New(Name, deps.Host),
		cfg: cfg,
	}
	var err error
	if s.rules, err = loadRules(cfg); err != nil {
		s.log.WithError(err).Error("cannot load rules, trying again")
		s.reasons.Set(topicRules, err.Error())
		if s.rules, err = noRules(cfg.RulesPath); err != nil {
			return nil, err
		}
	}
	if s.formats, err = s.trustedFormats(cfg); err != nil {
		s.log.WithError(err).Error("cannot load formats, using the shipped ones")
		if s.formats, err = loadFormats(Config{}); err != nil {
			return nil, err
		}
	}
	s.reasons.Set(topicStorage, storageReason(cfg.Storage))
	if url := storageConfig(cfg).URL; url != "" {
		if err := storage.CheckURL(url); err != nil {
			return nil, fmt.Errorf("log_pipeline.storage.postgres_url: %w", err)
		}
	}
	return s, nil
}

// Run reads, matches and publishes until ctx ends; then it processes, within a bound, what has been received,
// and writes a checkpoint. It returns an error only if a restart from the checkpoint may help. It is
// called once.
func (s *Service) Run(ctx context.Context) error {
	defer s.reasons.Started() // also after an early return
	p, err := s.newPipeline()
	if err != nil {
		return err
	}
	defer p.pub.Close()
	defer p.rows.close()
	in := p.sources
	defer func() {
		if err := in.tailer.Close(); err != nil {
			s.log.WithError(err).Warn("files not closed cleanly")
		}
	}()
	unexport, err := s.exportMetrics()
	if err != nil {
		return err
	}
	defer unexport()
	g := task.New(ctx)
	g.Go("syslog receiver", in.runSyslog)
	g.Go("packet consumer", in.packets.run)
	g.Go("container logs", in.docker.Run)
	g.Go("journal", in.journal.Run)
	g.Go("kernel log", in.kernel.Run)
	g.Go("log pipeline", p.run)
	g.Go("verbs", s.serve)
	g.Go("checkpoint writer", func(context.Context) error { return p.commits.run(in.waker.wake) })
	for range runtime.GOMAXPROCS(0) {
		g.Go("decoder", p.decoder.run)
	}
	if p.rows != nil {
		g.Go("log rows", p.rows.run)
	}
	g.Go("start", func(ctx context.Context) error {
		for _, done := range []<-chan struct{}{in.firstRead, in.syslog.Started()} {
			select {
			case <-done:
			case <-ctx.Done():
				return nil
			}
		}
		s.reasons.Started()
		return nil
	})
	return g.Wait()
}

// Started returns a channel that is closed once every watched file was opened and every port is bound, or
// could not be, or once Run has returned: what is written and sent from then on is read.
func (s *Service) Started() <-chan struct{} { return s.reasons.WhenStarted() }

// newPipeline reads the checkpoint and the crash record and opens the sources.
func (s *Service) newPipeline() (*pipeline, error) {
	if err := os.MkdirAll(s.deps.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	file := checkpointFile{path: filepath.Join(s.deps.DataDir, "checkpoint.json"), machine: s.deps.MachineID}
	saved, reason, err := file.load()
	if err != nil {
		return nil, err
	}
	if reason != "" {
		s.log.WithField("reason", reason).Error("checkpoint not usable, starting without one")
	}
	s.reasons.Set(topicCheckpoint, reason)
	crashes := &crashRecord{path: filepath.Join(s.deps.DataDir, "crashes.json")}
	if err := crashes.load(); err != nil {
		s.log.WithError(err).Error("cannot read crash record, starting with none")
	}

	s.mu.Lock()
	cfg, rules := s.cfg, s.rules
	s.mu.Unlock()
	in, err := s.openSources(cfg, saved)
	if err != nil {
		return nil, err
	}
	p := &pipeline{
		s: s, cfg: cfg, inputs: newInputs(cfg, s.formats.Set), sources: in, crashes: crashes, chunkLines: chunkLines,
		matcher: newMatcher(rules, alertBuilder{host: s.deps.Host, machine: s.deps.MachineID}),
		series:  series.New(cfg.DedupWindow(), 0),
		joining: newJoining(nil, nil, s.deps.AuditWait),
		commits: commitState{file: file, dirty: true, toSave: make(chan checkpoint, 1), saved: make(chan error, 1)},
	}
	if saved != nil {
		s.inputStats.Restore(saved.Inputs, saved.Saved, time.Now())
		s.zones.restore(saved.Zones)
	}
	if p.rows, err = s.openRows(cfg, saved); err != nil {
		return nil, err
	}
	p.decoder = &decoder{
		s: s, syslog: in.syslog, docker: in.docker, tailer: in.tailer, kernel: in.kernel, self: thisProcess(), host: shortHostname(), parser: parse.New(parse.Options{}), alerts: p.matcher.alerts, crashes: crashes, rows: p.rows,
		work: make(chan *chunk, maxTaken), done: make(chan *chunk, maxTaken), wake: in.waker.wake,
	}
	if saved != nil {
		p.resumeAfter, p.restored, p.commits.rowsAt = saved.resumeAfter(), saved.LastSeq, saved.Rows
		p.joining = newJoining(saved.Sources.Audit, saved.Sources.Processes, s.deps.AuditWait)
		p.commits.processed = processedSet{spans: saved.Sources.Packets}
		p.series.Restore(slices.Concat(saved.Series, series.FromWindows(saved.Windows, cfg.DedupWindow())), time.Now())
		if err := p.matcher.correlations.Restore(saved.Correlations); err != nil {
			s.log.WithError(err).Error("cannot use correlation counts of the checkpoint, starting with none")
			s.reasons.Set(topicCheckpoint, "correlation counts of the checkpoint could not be used: "+err.Error())
		}
	}
	p.pub, err = s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: Name, Host: s.deps.Host})
	if err != nil {
		p.rows.close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources, s.pub = in, p.pub
	return p, nil
}
