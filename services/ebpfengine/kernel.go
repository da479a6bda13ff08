package ebpfengine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// retryKernel is how often opening the kernel's objects is tried again: modules may be loaded, capabilities given.
const retryKernel = 10 * time.Second

// kernel holds the kernel objects that all interfaces share, and the reconciler of the lists.
type kernel struct {
	filter     *bpf.Filter
	pins       attach.Pins
	reconciler *blocklist.Reconciler
}

// watch opens the kernel's objects, tries again while that fails, and then works with them until ctx ends.
func (s *Service) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		k, err := s.openKernel()
		s.setReason(topicKernel, withPrefix("no packet is watched and nothing is blocked: ", err))
		if err == nil {
			return s.withKernel(ctx, k)
		}
		s.health.Started()
		task.Pause(ctx, retryKernel)
	}
	return nil
}

// openKernel opens the lists. Without a folder for pins it goes on, but blocks then end with the process.
func (s *Service) openKernel() (*kernel, error) {
	pins, noPins := attach.OpenPins(s.cfg.PinPath)
	if errors.Is(noPins, attach.ErrUnsupported) {
		return nil, noPins
	}
	filter, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: s.cfg.BlocklistMaxEntries, Pins: pins.Dir()})
	if err != nil {
		return nil, withRequirements(err)
	}
	temporary := withPrefix("blocks end when this process does: ", noPins)
	if pins.EndWithContainer() {
		temporary = "blocks end with this container: the bpf file system of ebpf.pin_path is its own; mount the host's /sys/fs/bpf into it"
	}
	s.setReason(topicPins, temporary)
	return &kernel{filter: filter, pins: pins, reconciler: s.newReconciler(filter)}, nil
}

// withRequirements adds to err the requirements that the machine is known not to meet.
func withRequirements(err error) error {
	if missing := attach.MissingRequirements(); len(missing) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(missing, ", "), err)
	}
	return err
}

// withKernel runs every task that needs the kernel until ctx ends.
func (s *Service) withKernel(ctx context.Context, k *kernel) (err error) {
	s.setKernel(k)
	defer func() {
		s.setKernel(nil)
		err = errors.Join(err, k.filter.Close())
	}()
	changed := make(chan struct{}, 1)
	g := task.New(ctx)
	g.Go("interface changes", func(ctx context.Context) error { return attach.Watch(ctx, changed) })
	g.Go("interfaces", func(ctx context.Context) error { return s.watchInterfaces(ctx, k, changed) })
	g.Go("blocklist", func(ctx context.Context) error { return s.reconcileBlocklist(ctx, k) })
	g.Go("dropped traffic", func(ctx context.Context) error { return s.publishDropped(ctx, k) })
	g.Go("program time", s.measureProgramTime)
	return g.Wait()
}

func (s *Service) setKernel(k *kernel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kernel = k
}

// StillAttached returns a sentence if programs are attached although this process does not run the engine: they outlive a stop
// on purpose, and another process may run the engine. It returns nothing where the process may not read the pins.
func StillAttached(cfg Config) []string {
	names := attach.PinnedInterfaces(cfg.PinPath)
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf(
		"its program is still attached to %s and blocks what was blocked: another process runs the engine, or it was enabled before; to detach the program: rm -r %s",
		strings.Join(names, ", "), cfg.PinPath)}
}
