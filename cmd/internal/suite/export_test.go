package suite

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/task"
)

// Sabotaged returns p with its real modules, of which the one called name has one
// goroutine more, which panics whenever trigger gets a value.
func (p Process) Sabotaged(name string, trigger <-chan struct{}) Process {
	p.Program.Modules = slices.Clone(p.Program.Modules)
	for i, m := range p.Program.Modules {
		if m.of != name {
			continue
		}
		p.Program.Modules[i].New = func(cfg Config, d deps) (daemon.Module, error) {
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

// Command returns the command of the program, for its manual page.
func (p Program) Command() *cobra.Command { return p.command(&commandLine{}, func() {}) }
