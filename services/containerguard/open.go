package containerguard

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/folder"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// runState are what Run opens.
type runState struct {
	docker     *docker.Client
	files      *folder.Folder // the module's own
	inventory  *inventory.Inventory
	quarantine *quarantine.Manager
	memory     *safety.State
	votes      *safety.Corroboration
	reporter   *reporter
	waiting    *pendingAlerts
}

// open makes what Run needs. On an error nothing is left open.
func (s *Service) open(ctx context.Context) (p *runState, err error) {
	p = &runState{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	cfg := s.config()
	if p.docker, err = docker.Connect(cfg.DockerSocket); err != nil {
		return p, err
	}
	p.inventory = inventory.New(inventory.Options{Docker: p.docker, PollInterval: cfg.poll(), Log: s.log})
	if err := s.openMemory(p, cfg); err != nil {
		return p, err
	}
	if err := s.openReports(ctx, p); err != nil {
		return p, err
	}
	if err := s.openQuarantine(p, cfg); err != nil {
		return p, err
	}
	s.run.Store(p)
	return p, s.notifier.Open(filepath.Join(s.deps.DataDir, "notifications"))
}

// openMemory opens what is remembered of alerts.
func (s *Service) openMemory(p *runState, cfg Config) (err error) {
	if p.files, err = folder.Open(s.deps.DataDir); err != nil {
		return err
	}
	var lost, forgotten string
	if p.memory, lost, err = safety.OpenState(p.files, cfg.limits()); err != nil {
		return err
	}
	if p.votes, forgotten, err = safety.OpenCorroboration(p.files); err != nil {
		return err
	}
	s.health.say(aboutLost, strings.TrimPrefix(strings.TrimSuffix(lost+"; "+forgotten, "; "), "; "))
	p.waiting, err = openPendingAlerts(s.deps.DataDir)
	return err
}

func (s *Service) openReports(ctx context.Context, p *runState) error {
	publisher, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: Name, Host: s.deps.Host, InFlight: s.deps.InFlight.Actions})
	if err != nil {
		return err
	}
	p.reporter = newReporter(publisher, p.files, s.log)
	return p.reporter.resume(ctx)
}

func (s *Service) openQuarantine(p *runState, cfg Config) (err error) {
	p.quarantine, err = quarantine.Open(quarantine.Options{
		Docker: p.docker, DataDir: s.deps.DataDir, Host: s.deps.Host, Log: s.log, Report: p.reporter.add, Evidence: cfg.evidence(),
		Recheck: func(o quarantine.Order, c docker.Container) (string, bool) { return s.recheckOrder(p, o, c) },
	})
	if err != nil {
		return err
	}
	s.health.say(aboutDamage, strings.Join(p.quarantine.Damaged(), "; "))
	p.inventory.OnChange(func(c inventory.Change) { s.observeContainer(p, c) })
	return nil
}

// close gives up what open opened, as far as it came.
func (p *runState) close() (err error) {
	if p.quarantine != nil {
		err = p.quarantine.Close()
	}
	if p.waiting != nil {
		err = errors.Join(err, p.waiting.folder.Close())
	}
	if p.files != nil {
		err = errors.Join(err, p.files.Close())
	}
	if p.docker != nil {
		p.docker.Close()
	}
	return err
}
