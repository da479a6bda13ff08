package logpipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Name is the module's name on the bus and in the table of modules.
const Name = bus.LogPipeline

const defaultSocket = "/var/run/docker.sock"

// Deps are what the service works with. All but Metrics must be set.
type Deps struct {
	Bus  *bus.Conn
	Host string // this machine on the bus, one subject token
	// DataDir is the service's own folder; it is made, with mode 0700, if missing.
	// It holds checkpoint.json and the folder spool.
	DataDir   string
	MachineID string // part of every alert id
	InFlight  bus.InFlight
	// DockerSocket is where the container engine listens; empty means /var/run/docker.sock.
	DockerSocket string
	Log          logrus.FieldLogger
	Metrics      prometheus.Registerer // nil: none
}

// Service is the log pipeline. It implements daemon.Module and daemon.Reloader.
type Service struct {
	deps  Deps
	log   logrus.FieldLogger
	since time.Time
	counters

	pending atomic.Pointer[change] // a reload not yet taken up; the newest counts

	started   chan struct{} // closed once the files have been looked at
	startOnce sync.Once

	mu       sync.Mutex // guards what follows
	cfg      Config
	book     *rulebook
	tailer   *tail.Tailer
	server   *syslog.Server
	pub      *bus.Publisher
	logs     *docker.Source
	troubles map[string]string // what is wrong now, by topic
}

// New returns a Service and starts nothing. A rules path that cannot be read and a
// bad rule file in it are named in Health, the path is tried again; New refuses only
// what it cannot work with.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := deps.check(); err != nil {
		return nil, err
	}
	s := &Service{
		deps: deps, log: deps.Log.WithField("service", Name), since: time.Now(),
		cfg: cfg, troubles: map[string]string{}, started: make(chan struct{}),
	}
	var err error
	if s.book, err = loadRules(cfg.RulesPath); err != nil {
		s.log.WithError(err).Error("rules not loaded")
		s.note(troubleRules, err.Error())
		if s.book, err = noRules(cfg.RulesPath); err != nil {
			return nil, err
		}
	}
	s.note(troubleStorage, storageTrouble(cfg.Storage))
	return s, nil
}

func (d Deps) check() error {
	if d.Bus == nil || d.Log == nil {
		return errors.New("log pipeline: no bus or no log given")
	}
	if d.Host == "" || !filepath.IsAbs(d.DataDir) {
		return fmt.Errorf("log pipeline: host %q and data folder %q must be set, the folder absolute", d.Host, d.DataDir)
	}
	return nil
}

// Run reads, judges and publishes until ctx ends; then it works off, within a
// bound, what has been received, and stores its checkpoint. It returns an error
// only for what a restart from the checkpoint may mend. It is called once.
func (s *Service) Run(ctx context.Context) error {
	defer s.begun()
	p, err := s.prepare()
	if err != nil {
		return err
	}
	defer p.close()
	stop, err := s.export()
	if err != nil {
		return err
	}
	defer stop()
	g := task.New(ctx)
	g.Go("syslog receiver", func(ctx context.Context) error { defer close(p.received); return p.server.Run(ctx) })
	g.Go("start", func(ctx context.Context) error { return s.begin(ctx, p) })
	g.Go("packet consumer", p.packets.run)
	g.Go("container logs", p.logs.Run)
	g.Go("log pipeline", p.run)
	return g.Wait()
}

// Started is closed once every watched file has been looked at and every port is
// bound, or cannot be, or once Run has returned: what is written and sent from then on
// is read. It may be called concurrently.
func (s *Service) Started() <-chan struct{} { return s.started }

// begin waits for both.
func (s *Service) begin(ctx context.Context, p *pipeline) error {
	for _, done := range []<-chan struct{}{p.looked, p.server.Started()} {
		select {
		case <-done:
		case <-ctx.Done():
			return nil
		}
	}
	s.begun()
	return nil
}

func (s *Service) begun() { s.startOnce.Do(func() { close(s.started) }) }

// prepare opens what Run needs.
func (s *Service) prepare() (*pipeline, error) {
	if err := makeFolder(s.deps.DataDir); err != nil {
		return nil, err
	}
	store := checkpointFile{path: filepath.Join(s.deps.DataDir, "checkpoint.json"), machine: s.deps.MachineID}
	saved, trouble, err := store.load()
	if err != nil {
		return nil, err
	}
	if trouble != "" {
		s.log.WithField("reason", trouble).Error("checkpoint set aside")
	}
	s.note(troubleCheckpoint, trouble)
	poison := &poison{path: filepath.Join(s.deps.DataDir, "poison.json")}
	if err := poison.load(); err != nil {
		s.log.WithError(err).Error("poison forgotten")
	}
	p, err := newPipeline(s, store, saved)
	if err == nil {
		p.poison = poison
	}
	return p, err
}

// opened makes the parts that Health asks known to it.
func (s *Service) opened(p *pipeline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tailer, s.server, s.pub, s.logs = p.tailer, p.server, p.pub, p.logs
}

func (s *Service) config() (Config, *rulebook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg, s.book
}

// syslogConfig is cfg as the receiver reads it. A received message is cut at 64 KiB
// even where lines of files may be longer: no datagram is.
func (s *Service) syslogConfig(cfg Config) syslog.Config {
	out := syslog.Config{
		Dir: filepath.Join(s.deps.DataDir, "spool"), MaxBytes: cfg.SpoolMaxBytes,
		MaxMessage: min(cfg.MaxLineBytes, syslog.DefaultMaxMessage),
	}
	out.UDP, out.TCP = cfg.listeners()
	return out
}

// listeners returns the addresses to listen on, "" for a source that is off.
func (c Config) listeners() (udp, tcp string) {
	if c.SyslogUDP() {
		udp = c.SyslogBind
	}
	if c.SyslogTCP() {
		tcp = c.SyslogTCPBind
	}
	return udp, tcp
}

// logsConfig is cfg as the source of containers' logs reads it.
func (s *Service) logsConfig(cfg Config, wake func()) docker.Config {
	return docker.Config{Socket: cmp.Or(s.deps.DockerSocket, defaultSocket), MaxLine: cfg.MaxLineBytes, Wake: wake}
}

// watched returns the paths to follow.
func (c Config) watched() []string {
	if !c.Files() {
		return nil
	}
	return c.WatchPaths
}

// tailConfig is cfg as the tailer reads it.
func tailConfig(cfg Config, spool, scratch string) tail.Config {
	return tail.Config{Paths: cfg.watched(), Spools: []string{spool}, ScratchDir: scratch, MaxLine: cfg.MaxLineBytes}
}
