// Package replay runs the kernel's packet program on the frames of a capture, with the
// capture's clock, and the detectors on its counters, as the live engine does. It returns
// the detections and a summary.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

const (
	// interval is the length of a window, as in the live engine.
	interval = time.Second
	// idleWindows is for how many windows without traffic the program remembers a conversation. It
	// need not run for later ones.
	idleWindows = 70
	// maxSilence is the time without traffic after which all attacks have ended. More of it is skipped.
	maxSilence = time.Hour
	// minFrame is the shortest frame that the kernel takes in a test run (net/bpf/test_run.c, ETH_HLEN).
	minFrame = 14
	// checkEvery is the number of frames between checks of the context.
	checkEvery = 4096
)

// ErrNoProgram means that the packet program cannot be loaded.
var ErrNoProgram = errors.New("the packet program cannot be loaded")

// Options configures a Run.
type Options struct {
	// Interface is the interface name in the detections.
	Interface string
	// Detect must be valid.
	Detect detect.Config
	// Found is called with each detection, in order of time.
	OnDetection func(detect.Detection)
	// Progress, if not nil, is called from time to time with the number of frames so far.
	OnProgress func(frames uint64)
}

// Summary describes a capture.
type Summary struct {
	Capture  capture.Stats
	Detector detect.Stats
	// First and Last are the times of the first and the last frame.
	First, Last time.Time
	// Packets and Malformed were counted by the program; Short frames are too short for it.
	Packets, Malformed, Short uint64
}

// Run replays the capture in r. If ctx ends before the capture it returns the error of ctx,
// with the summary so far. It needs Linux and the right to load the program (ErrNoProgram).
func Run(ctx context.Context, r *capture.Reader, opts Options) (Summary, error) {
	filter, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: 1, Replay: true})
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrNoProgram, err)
	}
	engine, err := bpf.Load(bpf.Options{Interface: opts.Interface, Filter: filter, Replay: true})
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrNoProgram, errors.Join(err, filter.Close()))
	}
	p := &replayer{opts: opts, engine: engine, detector: detect.New(opts.Detect)}
	err = p.run(ctx, r)
	p.sum.Capture, p.sum.Detector = r.Stats(), p.detector.Stats()
	return p.sum, errors.Join(err, engine.Close(), filter.Close())
}

// replayer is the state of one Run.
type replayer struct {
	opts     Options
	engine   *bpf.Engine
	detector *detect.Detector
	sum      Summary

	begin  time.Time // of the window
	silent int       // consecutive windows without a frame
	frames uint64
}

func (p *replayer) run(ctx context.Context, r *capture.Reader) error {
	var err error
	for err == nil {
		var f capture.Frame
		if f, err = r.Next(); err == nil && p.frames%checkEvery == 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = p.frame(ctx, f)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p.finish(err)
}

func (p *replayer) frame(ctx context.Context, f capture.Frame) error {
	if p.frames == 0 {
		p.begin, p.sum.First = f.At, f.At
	}
	if err := p.advance(ctx, f.At); err != nil {
		return err
	}
	p.frames++
	p.silent, p.sum.Last = 0, f.At
	if p.opts.OnProgress != nil && p.frames%checkEvery == 0 {
		p.opts.OnProgress(p.frames)
	}
	if len(f.Data) < minFrame {
		p.sum.Short++
		return nil
	}
	if _, err := p.engine.Run(f.Data, f.At); err != nil {
		return fmt.Errorf("frame %d: %w", p.frames, err)
	}
	return nil
}

// advance ends the windows up to at.
func (p *replayer) advance(ctx context.Context, at time.Time) error {
	for !at.Before(p.begin.Add(interval)) {
		if gap := at.Sub(p.begin); p.silent > 0 && gap > maxSilence+interval {
			p.begin = p.begin.Add((gap - maxSilence).Truncate(interval))
		}
		if err := p.endWindow(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// endWindow collects the counters of a window and runs the detectors.
func (p *replayer) endWindow() error {
	w := traffic.Window{Interface: p.opts.Interface, Start: p.begin, End: p.begin.Add(interval), Sampling: 1, Egress: true}
	p.silent++
	if p.silent <= idleWindows {
		samples, err := p.engine.Drain()
		if err != nil {
			return fmt.Errorf("samples: %w", err)
		}
		p.detector.Sample(samples)
		if w, err = p.engine.Collect(w.End); err != nil {
			return fmt.Errorf("counters: %w", err)
		}
	}
	p.sum.Packets += w.Totals.Packets
	for _, n := range w.Totals.Malformed {
		p.sum.Malformed += n
	}
	p.begin = w.End
	p.report(p.detector.Observe(w))
	return nil
}

// finish lets handshakes time out and ends running attacks.
func (p *replayer) finish(err error) error {
	for range 2 {
		if p.frames > 0 {
			err = errors.Join(err, p.endWindow())
		}
	}
	p.report(p.detector.Close())
	return err
}

func (p *replayer) report(detections []detect.Detection) {
	for _, d := range detections {
		p.opts.OnDetection(d)
	}
}
