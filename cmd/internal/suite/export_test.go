package suite

import (
	"context"

	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/task"
)

// Sabotaged returns p with its real modules, of which the one called name has one
// goroutine more, which panics whenever trigger gets a value.
func (p Process) Sabotaged(name string, trigger <-chan struct{}) Process {
	p.modules = table()
	for i, m := range p.modules {
		if m.Name != name {
			continue
		}
		p.modules[i].New = func(cfg Config, d deps) (daemon.Module, error) {
			made, err := m.New(cfg, d)
			return &saboteur{withMetrics: withMetrics{Module: made, expose: func() {}}, name: name, trigger: trigger}, err
		}
	}
	return p
}

type saboteur struct {
	withMetrics
	name    string
	trigger <-chan struct{}
}

// Run implements daemon.Module.
func (s *saboteur) Run(ctx context.Context) error {
	both := task.New(ctx)
	both.Go(s.name, s.Module.Run)
	both.Go("saboteur", func(ctx context.Context) error {
		select {
		case <-s.trigger:
			panic("sabotage")
		case <-ctx.Done():
			return nil
		}
	})
	return both.Wait()
}
