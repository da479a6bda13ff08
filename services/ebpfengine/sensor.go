package ebpfengine

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// interval is how long a window is.
const interval = time.Second

// sensor is the program on one interface, and who reads it.
type sensor struct {
	s      *Service
	on     attach.Interface
	engine *bpf.Engine
	link   *attach.Link
	egress io.Closer // nil where answers are not seen
	blind  error     // why not
	view   *view

	mu       sync.Mutex // guards what follows: samples and windows come on two goroutines
	detector *detect.Detector
	sampling uint32
	closed   bool

	cancel context.CancelFunc
	gone   bool          // detach when it ends
	done   chan struct{} // closed when it has ended
}

// attach loads the program and puts it onto the interface. Nothing reads it yet.
func (s *Service) attach(k *kernel, on attach.Interface) (*sensor, error) {
	engine, err := bpf.Load(bpf.Options{Interface: on.Name, Filter: k.filter, RingBufferSize: s.cfg.RingBufferSize})
	if err != nil {
		return nil, withLacking(err)
	}
	link, err := k.pins.XDP(on, attach.Mode(s.cfg.XDPMode), engine.XDP())
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	sen := &sensor{
		s: s, on: on, engine: engine, link: link, detector: detect.New(s.cfg.Detect), sampling: 1, done: make(chan struct{}),
	}
	sen.egress, sen.blind = watchAnswers(on, engine)
	sen.view = s.view(on.Name, sen)
	s.log.WithField("interface", on.Name).WithField("mode", link.Interface.Mode).WithField("adopted", link.Adopted).
		WithField("fallback", link.Fallback).Info("watching packets")
	return sen, nil
}

// watchAnswers attaches to what leaves the interface. Without it the detectors go on and say what they lack.
func watchAnswers(on attach.Interface, engine *bpf.Engine) (io.Closer, error) {
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

// trouble is what makes a sensor that works less than it should be.
func (n *sensor) trouble() error {
	var all []error
	if n.link.Unpinned != "" {
		all = append(all, errors.New(n.on.Name+" is unguarded when this process ends: "+n.link.Unpinned))
	}
	if n.blind != nil && !errors.Is(n.blind, bpf.ErrNoEgress) && !errors.Is(n.blind, attach.ErrUnsupported) {
		all = append(all, n.blind)
	}
	return errors.Join(all...)
}

// start has the sensor read until ctx, which is the group's, ends or stop is called.
func (n *sensor) start(ctx context.Context, g *task.Group) {
	ctx, cancel := context.WithCancel(ctx)
	n.cancel = cancel
	g.Go("packets of "+n.on.Name, func(context.Context) error {
		defer close(n.done)
		defer cancel()
		return n.run(ctx)
	})
}

// stop ends the sensor and waits for it; detach also takes the program off.
func (n *sensor) stop(detach bool) {
	n.gone = detach
	n.cancel()
	<-n.done
}

func (n *sensor) run(ctx context.Context) error {
	g := task.New(ctx)
	g.Go("samples of "+n.on.Name, func(ctx context.Context) error { return n.engine.Samples(ctx, n.sampled) })
	g.Go("windows of "+n.on.Name, n.windows)
	err := g.Wait()
	n.collect(time.Now())
	n.announce(n.detector.Close())
	n.s.note(troubleReading+n.on.Name, "")
	return errors.Join(err, n.close())
}

// attached tells whether the program still is on the interface. One that is being stopped says yes: it sees to that itself.
func (n *sensor) attached() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed || n.link.Attached()
}

// runStats returns how often the program ran, and how long that took, while the kernel took its time.
func (n *sensor) runStats() (runs uint64, took time.Duration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return 0, 0, errors.ErrUnsupported
	}
	return n.engine.RunStats()
}

// close lets go of the kernel's objects. What is pinned stays in force.
func (n *sensor) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	var errs []error
	if n.egress != nil {
		errs = append(errs, n.egress.Close())
	}
	if n.gone {
		errs = append(errs, n.link.Detach())
	} else {
		errs = append(errs, n.link.Close())
	}
	return errors.Join(append(errs, n.engine.Close())...)
}

func (n *sensor) windows(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			n.collect(now)
		}
	}
}

// collect ends an interval: it is counted, judged and put out.
func (n *sensor) collect(now time.Time) {
	w, err := n.engine.Collect(now)
	if err != nil {
		n.view.failed()
		n.s.note(troubleReading+n.on.Name, n.on.Name+" cannot be read: "+err.Error())
		return
	}
	n.s.note(troubleReading+n.on.Name, "")
	n.view.add(&w)
	n.s.box.Window(&w)
	n.s.box.Lost(n.on.Name, w.Lost)
	n.mu.Lock()
	n.sampling = w.Sampling
	found := n.detector.Observe(w)
	n.view.judged(n.detector.Stats())
	n.mu.Unlock()
	n.announce(found)
}

func (n *sensor) announce(found []detect.Detection) {
	for _, f := range found {
		n.s.box.Detection(f.Packet(n.s.deps.Host))
		n.s.found(f.Name)
	}
}

// sampled is called with what the ring buffer held.
func (n *sensor) sampled(list []traffic.Sample) {
	n.mu.Lock()
	n.detector.Sample(list)
	sampling := n.sampling
	n.mu.Unlock()
	n.s.box.Samples(n.on.Name, time.Now(), sampling, list)
}
