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

// The topics of what may be wrong; a topic holds one sentence at a time.
const (
	troubleKernel    = "kernel"
	troublePins      = "pins"
	troubleHits      = "hits"
	troubleLooking   = "interfaces"
	troubleHeld      = "held"
	troubleInterface = "interface " // and its name
	troubleReading   = "reading "   // and its name
)

// retryKernel is how often a kernel that would not is asked again: modules are loaded, rights are given.
const retryKernel = 10 * time.Second

// kernel is what all interfaces share.
type kernel struct {
	filter *bpf.Filter
	pins   attach.Pins
	keeper *blocklist.Reconciler
}

// watch works while the kernel lets it; until then it is degraded.
func (s *Service) watch(ctx context.Context) error {
	for {
		k, err := s.open()
		if err == nil {
			s.note(troubleKernel, "")
			return s.withKernel(ctx, k)
		}
		s.note(troubleKernel, "no packet is watched and nothing is blocked: "+err.Error())
		s.begun()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryKernel):
		}
	}
}

// open opens the lists. Without a place for pins it goes on, but what is blocked then ends with the process.
func (s *Service) open() (*kernel, error) {
	pins, unpinned := attach.OpenPins(s.cfg.PinPath)
	if errors.Is(unpinned, attach.ErrUnsupported) {
		return nil, unpinned
	}
	filter, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: s.cfg.BlocklistMaxEntries, Pins: pins.Dir()})
	if err != nil {
		return nil, withLacking(err)
	}
	s.note(troublePins, told("blocks end when this process does: ", unpinned))
	return &kernel{filter: filter, pins: pins, keeper: s.newKeeper(filter)}, nil
}

// withLacking adds to err what the machine is known to lack.
func withLacking(err error) error {
	if what := attach.MissingRequirements(); len(what) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(what, ", "), err)
	}
	return err
}

func told(prefix string, err error) string {
	if err == nil {
		return ""
	}
	return prefix + err.Error()
}

// withKernel runs everything that needs the kernel, until ctx ends.
func (s *Service) withKernel(ctx context.Context, k *kernel) (err error) {
	s.use(k)
	defer func() {
		s.use(nil)
		err = errors.Join(err, k.filter.Close())
	}()
	changed := make(chan struct{}, 1)
	g := task.New(ctx)
	g.Go("interface watch", func(ctx context.Context) error { return attach.Watch(ctx, changed) })
	g.Go("interfaces", func(ctx context.Context) error { return s.keepAttached(ctx, k, changed) })
	g.Go("blocklist", func(ctx context.Context) error { return s.keepBlocked(ctx, k) })
	g.Go("blocked counts", func(ctx context.Context) error { return s.countBlocked(ctx, k) })
	g.Go("run statistics", s.measure)
	return g.Wait()
}

func (s *Service) use(k *kernel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kernel = k
}
