package containerguard

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/services/containerguard/egress"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// runState is what Run opens and closes.
type runState struct {
	memory
	docker        *docker.Client
	files         *folder.Folder // the data directory
	inventory     *inventory.Inventory
	quarantine    *quarantine.Manager
	reporter      *reporter
	pending       *pendingAlerts
	destinations  *safety.Destinations
	sensor        *egress.Sensor
	signed        chan struct{}         // holds one if there may be signs that steps wait for
	blocksUnsaved atomic.Pointer[error] // how the last Save of blocks ended
}

// open opens what Run needs. After an error nothing is left open.
func (s *Service) open(ctx context.Context) (run *runState, err error) {
	run = &runState{memory: memory{released: newReleasedContainers()}, signed: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, run.close())
		}
	}()
	cfg := s.config()
	if run.docker, err = docker.Connect(cfg.DockerSocket); err != nil {
		return run, err
	}
	run.docker.TrustImageLabels(cfg.TrustImageLabels)
	run.inventory = inventory.New(inventory.Options{Docker: run.docker, PollInterval: cfg.pollInterval(), Log: s.log})
	if err := s.openState(run, cfg); err != nil {
		return run, err
	}
	publisher, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: Name, Host: s.deps.Host, InFlight: s.deps.InFlight.Actions, Remember: true})
	if err != nil {
		return run, err
	}
	run.reporter = newReporter(publisher, run.files, s.log)
	if err := run.reporter.resume(ctx); err != nil {
		return run, err
	}
	run.quarantine, err = quarantine.Open(quarantine.Options{
		Docker: run.docker, DataDir: s.deps.DataDir, Host: s.deps.Host, Log: s.log, Report: run.reporter.add, Evidence: cfg.evidenceLimits(),
		Recheck:    func(o quarantine.Order, c docker.Container) (string, bool) { return s.recheckOrder(run, o, c) },
		Containers: func() []docker.Container { return s.observableContainers(run) },
	})
	if err != nil {
		return run, err
	}
	s.health.Set(topicLedgerDamage, strings.Join(run.quarantine.Damaged(), "; "))
	run.inventory.OnChange(func(c inventory.Change) { s.observeContainer(run, c) })
	run.sensor = s.newSensor(run)
	s.run.Store(run)
	return run, s.notifier.Open(filepath.Join(s.deps.DataDir, "notifications"))
}

// openState opens the files that outlive a restart: caps and cooldowns, corroboration,
// blocks, waiting answers, and pending alerts.
func (s *Service) openState(run *runState, cfg Config) (err error) {
	if run.files, err = folder.Open(s.deps.DataDir); err != nil {
		return err
	}
	if err := renameEarlier(s.deps.DataDir); err != nil {
		return err
	}
	var damaged [5]string
	if run.guardState, damaged[0], err = safety.OpenState(run.files, cfg.limits()); err != nil {
		return err
	}
	if run.corroboration, damaged[1], err = safety.OpenCorroboration(run.files); err != nil {
		return err
	}
	if run.blocks, damaged[2], err = safety.OpenBlocks(run.files, cfg.blockLimits()); err != nil {
		return err
	}
	if run.signs, damaged[3], err = safety.OpenSigns(run.files); err != nil {
		return err
	}
	if run.destinations, damaged[4], err = safety.OpenDestinations(run.files, time.Now()); err != nil {
		return err
	}
	s.health.Set(topicStateDamage, strings.Trim(strings.Join(damaged[:], "; "), "; "))
	if run.waiting, err = openWaitingList(s.deps.DataDir); err != nil {
		return err
	}
	run.pending, err = openPendingAlerts(s.deps.DataDir)
	return err
}

// renameEarlier gives the files that had another name before today's, unless there is such a file.
func renameEarlier(dataDir string) error {
	for before, today := range map[string]string{"waiting": "pending", "memory.json": "state.json"} {
		from, to := filepath.Join(dataDir, before), filepath.Join(dataDir, today)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// close closes what open opened, also after open failed halfway.
func (run *runState) close() (err error) {
	if run.quarantine != nil {
		err = run.quarantine.Close()
	}
	err = errors.Join(err, run.waiting.close())
	if run.pending != nil {
		err = errors.Join(err, run.pending.folder.Close())
	}
	if run.files != nil {
		err = errors.Join(err, run.files.Close())
	}
	if run.reporter != nil {
		run.reporter.pub.Close()
	}
	if run.docker != nil {
		run.docker.Close()
	}
	return err
}
