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

// parts are what Run opens.
type parts struct {
	docker     *docker.Client
	files      *folder.Folder // the module's own
	inventory  *inventory.Inventory
	quarantine *quarantine.Manager
	memory     *safety.Memory
	votes      *safety.Votes
	reporter   *reporter
	waiting    *room
}

// open makes what Run needs. On an error nothing is left open.
func (s *Service) open(ctx context.Context) (p *parts, err error) {
	p = &parts{}
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
	s.parts.Store(p)
	return p, s.notifier.Open(filepath.Join(s.deps.DataDir, "notifications"))
}

// openMemory opens what is remembered of alerts.
func (s *Service) openMemory(p *parts, cfg Config) (err error) {
	if p.files, err = folder.Open(s.deps.DataDir); err != nil {
		return err
	}
	var lost, forgotten string
	if p.memory, lost, err = safety.Open(p.files, cfg.limits()); err != nil {
		return err
	}
	if p.votes, forgotten, err = safety.OpenVotes(p.files); err != nil {
		return err
	}
	s.health.say(aboutLost, strings.TrimPrefix(strings.TrimSuffix(lost+"; "+forgotten, "; "), "; "))
	p.waiting, err = openRoom(s.deps.DataDir)
	return err
}

func (s *Service) openReports(ctx context.Context, p *parts) error {
	publisher, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: Name, Host: s.deps.Host, InFlight: s.deps.InFlight.Actions})
	if err != nil {
		return err
	}
	p.reporter = newReporter(publisher, p.files, s.log)
	return p.reporter.resume(ctx)
}

func (s *Service) openQuarantine(p *parts, cfg Config) (err error) {
	p.quarantine, err = quarantine.Open(quarantine.Options{
		Docker: p.docker, DataDir: s.deps.DataDir, Host: s.deps.Host, Log: s.log, Report: p.reporter.add, Evidence: cfg.evidence(),
		Recheck: func(o quarantine.Order, c docker.Container) (string, bool) { return s.recheck(p, o, c) },
	})
	if err != nil {
		return err
	}
	s.health.say(aboutDamage, strings.Join(p.quarantine.Damaged(), "; "))
	p.inventory.Watch(func(c inventory.Change) { s.observe(p, c) })
	return nil
}

// close gives up what open opened, as far as it came.
func (p *parts) close() (err error) {
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
