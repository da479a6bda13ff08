package logpipeline

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/kmsg"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const defaultDockerSocket = "/var/run/docker.sock"

// sources are the inputs of the pipeline. Received syslog messages are spooled to files, which the tailer
// reads like the watched ones.
type sources struct {
	waker     *waker // ends the wait for lines when another source has input
	tailer    *tail.Tailer
	syslog    *syslog.Server
	docker    *docker.Source
	journal   *journal.Source
	kernel    *kmsg.Source
	live      bool // a journal is in use
	packets   *packetSource
	received  chan struct{} // closed when the syslog server has ended
	firstRead chan struct{} // closed when every watched file has been opened, or could not be
}

// openSources makes the sources. They go on from saved, if that is not nil. A part of it that cannot be used
// is dropped and reported: reading from now on is better than not reading.
func (s *Service) openSources(cfg Config, saved *checkpoint) (*sources, error) {
	in := &sources{waker: &waker{}, received: make(chan struct{}), firstRead: make(chan struct{})}
	var err error
	if in.syslog, err = syslog.New(s.syslogConfig(cfg), s.log); err != nil {
		return nil, fmt.Errorf("syslog: %w", err)
	}
	in.syslog.CreateDir()
	if in.packets, err = newPacketSource(s.deps, in.waker); err != nil {
		return nil, err
	}
	var files *tail.State
	var logs *docker.State
	if saved != nil {
		files = &saved.Sources.Files
		if cfg.Docker() {
			logs = saved.Sources.Containers
		}
	}
	dockerConfig := docker.Config{Socket: cmp.Or(s.deps.DockerSocket, defaultDockerSocket), MaxLine: cfg.MaxLineBytes, Wake: in.waker.wake, TrustImageLabels: s.deps.TrustImageLabels}
	dockerConfig.OnMissed = func(name string) {
		s.lost(inputstats.ID{Kind: inputstats.Container, Name: name}, "lost_containers_removed", 1)
	}
	in.docker, err = docker.New(dockerConfig, logs, s.log)
	if err != nil && logs != nil {
		s.log.WithError(err).Error("cannot use positions in container logs, reading them from now on")
		s.reasons.Set(topicCheckpoint, "positions in container logs could not be used, they are read from now on: "+err.Error())
		in.docker, err = docker.New(dockerConfig, nil, s.log)
	}
	if err != nil {
		return nil, err
	}
	in.docker.SetEnabled(cfg.Docker())

	if err := s.openJournal(cfg, in, saved); err != nil {
		return nil, err
	}
	tailing := tailConfig(cfg, in.syslog.SpoolPattern(), s.deps.DataDir)
	tailing.Paths = cfg.choose(in.live).paths
	tailing.OnLoss = func(path string, spool bool, cause string, n int64) { s.lost(s.fileInput(path, spool), cause, n) }
	in.tailer, err = tail.New(tailing, files, s.log)
	if err != nil && files != nil {
		s.log.WithError(err).Error("cannot use positions in files, reading watched files from their ends")
		s.reasons.Set(topicCheckpoint, "positions of the checkpoint could not be used, watched files are read from their current ends: "+err.Error())
		in.tailer, err = tail.New(tailing, nil, s.log)
	}
	return in, err
}

// openJournal makes the sources of the journal and of the kernel's log, and finds whether a journal is in use. Without a saved position
// the journal is read from the time of the checkpoint on: until then its lines were read from files.
func (s *Service) openJournal(cfg Config, in *sources, saved *checkpoint) (err error) {
	to := journal.Config{
		Dirs: cfg.JournalPaths, Volatile: func(dir string) bool { return strings.HasPrefix(dir, "/run/") }, Machine: thisMachine(), Begun: time.Now(),
		MaxField: cfg.MaxLineBytes, Wake: in.waker.wake,
		OnLoss: func(cause string, n uint64) {
			s.lost(inputstats.ID{Kind: inputstats.Journal}, cause, int64(min(n, 1<<62)))
		},
	}
	var entries *journal.State
	var kernel *kmsg.State
	if saved != nil {
		to.Begun, kernel = saved.Saved, saved.Sources.Kernel
		if cfg.Journal() {
			entries = saved.Sources.Journal
		}
	}
	in.journal, err = journal.New(to, entries, s.log)
	if err != nil && entries != nil {
		s.log.WithError(err).Error("cannot use positions in the journal, reading it from now on")
		s.reasons.Set(topicCheckpoint, "positions in the journal could not be used, it is read from now on: "+err.Error())
		to.Begun = time.Now()
		in.journal, err = journal.New(to, nil, s.log)
	}
	if err != nil {
		return err
	}
	in.kernel = kmsg.New(kernel, in.waker.wake, func(n uint64) {
		s.lost(inputstats.ID{Kind: inputstats.Kernel}, "lost_records_overwritten", int64(min(n, 1<<62)))
	}, s.log)
	in.live, _ = cfg.JournalInUse() // the source tells what it cannot read
	got := cfg.choose(in.live)
	in.journal.SetEnabled(cfg.Journal())
	in.kernel.SetEnabled(got.kernel)
	s.log.WithField("inputs", cfg.describe(got)).Info("inputs chosen")
	return nil
}

func (in *sources) runSyslog(ctx context.Context) error {
	defer close(in.received)
	return in.syslog.Run(ctx)
}

// nameOf returns what the chunks of one source have in common: the path of a file, without the number of a spool file, a container, the journal
// or the kernel. It is "" for packet records.
func (in *sources) nameOf(c *chunk) string {
	switch {
	case len(c.lines) > 0 && in.syslog.IsSpoolFile(c.lines[0].Path):
		path := c.lines[0].Path
		return "spool:" + path[:max(0, strings.LastIndexByte(path, '-'))]
	case len(c.lines) > 0:
		return "file:" + c.lines[0].Path
	case len(c.logs) > 0:
		return "container:" + c.logs[0].Container.ID
	case len(c.entries) > 0:
		return "journal:" + c.entries[0].Stream
	case len(c.records) > 0:
		return "kernel"
	}
	return ""
}

// done tells the source of c that the alerts of c are stored.
func (in *sources) done(c *chunk) {
	if len(c.lines) > 0 {
		in.tailer.Done(c.lines)
	}
	if len(c.logs) > 0 {
		in.docker.Done(c.logs[0].Container.ID)
	}
	if len(c.entries) > 0 {
		in.journal.Done(c.entries[0].Stream)
	}
	if len(c.records) > 0 {
		in.kernel.Done()
	}
}

// ended reports whether no source receives any more.
func (in *sources) ended() bool {
	for _, done := range []<-chan struct{}{in.received, in.packets.done} {
		select {
		case <-done:
		default:
			return false
		}
	}
	return true
}

// syslogConfig returns the part of cfg that the syslog server needs. A received message is cut at 64 KiB even
// if lines of files may be longer: no datagram is larger.
func (s *Service) syslogConfig(cfg Config) syslog.Config {
	out := syslog.Config{
		Dir: filepath.Join(s.deps.DataDir, "spool"), MaxBytes: cfg.SpoolMaxBytes,
		MaxMessage: min(cfg.MaxLineBytes, syslog.DefaultMaxMessage), MaxConns: cfg.SyslogMaxConnections,
		MaxConnsPerPeer: cfg.SyslogMaxConnectionsPerPeer, IdleTimeout: time.Duration(cfg.SyslogIdleSecs) * time.Second,
		UDPQueueBytes: cfg.SyslogUDPQueueBytes,
		OnLoss: func(sequence, reason string, n int64) {
			s.lost(syslogInput(sequence), "dropped_messages_"+reason, n)
		},
	}
	if cfg.SyslogUDP() {
		out.UDP = cfg.SyslogBind
	}
	if cfg.SyslogTCP() {
		out.TCP = cfg.SyslogTCPBind
	}
	if cfg.SyslogTLS() {
		out.TLS, out.Certificate, out.Key, out.ClientCA = cfg.SyslogTLSBind, cfg.SyslogTLSCert, cfg.SyslogTLSKey, cfg.SyslogTLSClientCA
	}
	if cfg.Unix() {
		out.Unix = cfg.UnixSocket
	}
	return out
}

// tailConfig returns the part of cfg that the tailer needs.
func tailConfig(cfg Config, spool, scratch string) tail.Config {
	return tail.Config{Paths: cfg.watchedPaths(), Spools: []string{spool}, ScratchDir: scratch, MaxLine: cfg.MaxLineBytes, MaxFiles: cfg.MaxWatchedFiles}
}

// watchedPaths returns the paths to follow.
func (c Config) watchedPaths() []string {
	if !c.Files() {
		return nil
	}
	return c.WatchPaths
}
