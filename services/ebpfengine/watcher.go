package ebpfengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// windowInterval is the length of a window.
const windowInterval = time.Second

// watcher is the program on one interface and the task that reads its counters and samples.
type watcher struct {
	s  *Service
	on attach.Interface
	// allows reports whether the operator allows an address, so that it causes no finding.
	allows func(netip.Addr) bool

	handles  sync.Mutex // guards closed and detach: close must not overtake a system call with engine or link; health does not take it
	closed   bool
	detach   bool // when it ends
	engine   *bpf.Engine
	link     *attach.Link
	egress   io.Closer // nil where outgoing packets are not seen
	noEgress error     // why

	behindNAT origins // of the task of the windows

	detecting sync.Mutex // guards what follows: samples and windows come on two goroutines
	detector  *detect.Detector
	sampling  uint32

	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
}

// attach loads the program and attaches it to the interface. Nothing is read before start.
func (s *Service) attach(k *kernel, on attach.Interface) (*watcher, error) {
	engine, err := bpf.Load(bpf.Options{Interface: on.Name, Filter: k.filter, RingBufferSize: s.cfg.RingBufferSize})
	if err != nil {
		return nil, withRequirements(err)
	}
	link, err := k.pins.XDP(on, attach.Mode(s.cfg.XDPMode), engine.XDP())
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	w := &watcher{s: s, on: on, allows: k.reconciler.Allows, engine: engine, link: link, detector: detect.New(s.cfg.Detect), behindNAT: origins{}, sampling: 1, done: make(chan struct{})}
	w.egress, w.noEgress = attachEgress(on, engine)
	s.interfaces.setWatched(w)
	s.log.WithField("interface", on.Name).WithField("mode", link.Interface.Mode).WithField("adopted", link.Adopted).
		WithField("fallback", link.Fallback).Info("XDP program attached")
	return w, nil
}

// attachEgress attaches the egress program, which sees the responses of this machine. The detectors work without it, with less
// evidence.
func attachEgress(on attach.Interface, engine *bpf.Engine) (io.Closer, error) {
	program, err := engine.Egress()
	if err != nil {
		return nil, err
	}
	attached, err := attach.Egress(on, program)
	if err != nil {
		return nil, err
	}
	if err := engine.SetEgressAttached(true); err != nil {
		return nil, errors.Join(err, attached.Close())
	}
	return attached, nil
}

// problem returns why the watcher works less than it should, nil if it does not. A kernel without TCX is a remark only.
func (w *watcher) problem() error {
	var all []error
	if w.link.Unpinned != "" {
		all = append(all, errors.New(w.on.Name+" lets everything pass when this process ends: "+w.link.Unpinned))
	}
	if w.noEgress != nil && !errors.Is(w.noEgress, bpf.ErrNoEgress) && !errors.Is(w.noEgress, attach.ErrUnsupported) {
		all = append(all, fmt.Errorf("responses are not seen: %w", w.noEgress))
	}
	return errors.Join(all...)
}

// start starts reading, until ctx, which is the group's, ends or stop is called.
func (w *watcher) start(ctx context.Context, g *task.Group) {
	ctx, cancel := context.WithCancel(ctx)
	w.cancel = cancel
	g.Go("packets of "+w.on.Name, func(context.Context) error {
		defer close(w.done)
		defer cancel()
		return w.run(ctx)
	})
}

// stop ends the watcher and waits for it; with detach, the program is detached too, unless the watcher was ending already.
func (w *watcher) stop(detach bool) {
	w.handles.Lock()
	w.detach = detach
	w.handles.Unlock()
	w.cancel()
	<-w.done
}

func (w *watcher) run(ctx context.Context) error {
	g := task.New(ctx)
	g.Go("samples of "+w.on.Name, func(ctx context.Context) error { return w.engine.Samples(ctx, w.addSamples) })
	g.Go("windows of "+w.on.Name, func(ctx context.Context) error {
		ticker := time.NewTicker(windowInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-ticker.C:
				w.collect(now)
			}
		}
	})
	err := g.Wait()
	w.collect(time.Now())
	w.queueDetections(w.detector.Close())
	w.s.setReason(topicReading+w.on.Name, "")
	return errors.Join(err, w.close())
}

// collect ends a window: it is counted, searched for attacks, and queued for publishing.
func (w *watcher) collect(now time.Time) {
	window, err := w.engine.Collect(now)
	w.s.setReason(topicReading+w.on.Name, withPrefix("the counters of "+w.on.Name+" cannot be read: ", err))
	if err != nil {
		w.s.interfaces.update(w.on.Name, func(i *interfaceState) { i.unreadable++ })
		return
	}
	w.s.box.Window(&window)
	w.s.box.Lost(w.on.Name, window.Lost)
	w.detecting.Lock()
	w.sampling = window.Sampling
	found, stats := w.detector.Observe(w.withoutAllowed(window)), w.detector.Stats()
	w.detecting.Unlock()
	w.s.interfaces.update(w.on.Name, func(i *interfaceState) {
		i.totals.Add(&window.Totals)
		i.promoted, i.detector = len(window.Sources), stats
	})
	w.queueDetections(found)
}

// withoutAllowed returns a window without what was sent to allowed addresses: it is no attack by this machine.
func (w *watcher) withoutAllowed(window traffic.Window) traffic.Window {
	window.Outgoing = slices.DeleteFunc(slices.Clone(window.Outgoing), func(o traffic.Outgoing) bool { return w.allows(o.Addr) })
	return window
}

// queueDetections hands detections to the outbox, but for those of an allowed actor, which are counted. What a router forwards from
// outside is not outbound.
func (w *watcher) queueDetections(found []detect.Detection) {
	var ask conntrack.Asker
	for _, d := range found {
		if err := w.behindNAT.name(&d, &ask); err != nil {
			w.s.log.WithError(err).WithField("interface", w.on.Name).WithField("actor", d.Actor).Debug("whether the attacker is behind this host's NAT is unknown")
		}
		actor, err := netip.ParseAddr(d.Actor)
		if err == nil && w.allows(actor) {
			w.s.interfaces.update(w.on.Name, func(i *interfaceState) { i.muted++ })
			continue
		}
		if err != nil { // of many or forged sources: one of them
			actor = d.Flow.Source.Addr()
		}
		if d.Direction == detect.Outbound && actor.IsValid() && attach.IsOutside(actor, w.on) {
			d.Direction = ""
		}
		w.s.box.Detection(d.Packet(w.s.deps.Host))
		w.s.mu.Lock()
		w.s.detections[d.Name]++
		w.s.mu.Unlock()
	}
}

// addSamples takes over samples of the ring buffer.
func (w *watcher) addSamples(samples []traffic.Sample) {
	kept := slices.DeleteFunc(slices.Clone(samples), func(s traffic.Sample) bool { return s.Outbound && w.allows(s.Target.Addr()) })
	w.detecting.Lock()
	w.detector.Sample(kept)
	sampling := w.sampling
	w.detecting.Unlock()
	tries := slices.DeleteFunc(samples, func(s traffic.Sample) bool { return s.Outcome != traffic.Open })
	w.s.box.Samples(w.on.Name, time.Now(), sampling, tries)
}

// hasCompletedHandshake reports whether addr completed a handshake. Without egress nothing is known of that.
func (w *watcher) hasCompletedHandshake(addr netip.Addr) bool {
	w.detecting.Lock()
	defer w.detecting.Unlock()
	return w.egress != nil && w.detector.HasCompletedHandshake(addr)
}

// attached reports whether the program is still on the interface. It is true for a watcher that has ended.
func (w *watcher) attached() bool {
	w.handles.Lock()
	defer w.handles.Unlock()
	return w.closed || w.link.Attached()
}

// programRuns returns how often the program ran, and how long that took, while the kernel measured it.
func (w *watcher) programRuns() (programRuns, error) {
	w.handles.Lock()
	defer w.handles.Unlock()
	if w.closed {
		return programRuns{}, errors.ErrUnsupported
	}
	n, took, err := w.engine.RunStats()
	return programRuns{n: n, took: took}, err
}

// close closes the kernel objects. A pinned program stays attached unless stop said otherwise.
func (w *watcher) close() error {
	w.handles.Lock()
	defer w.handles.Unlock()
	w.closed = true
	var errs []error
	if w.egress != nil {
		errs = append(errs, w.egress.Close())
	}
	if w.detach {
		errs = append(errs, w.link.Detach())
	} else {
		errs = append(errs, w.link.Close())
	}
	return errors.Join(append(errs, w.engine.Close())...)
}
