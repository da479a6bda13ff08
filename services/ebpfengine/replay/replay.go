// Package replay gives a capture to the packet program as if it came from the
// wire, with the clock of the capture, and judges what the program counted as the
// live engine does.
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
	// interval is how long a window is, as in the live engine.
	interval = time.Second
	// idleWindows is how long the program remembers a silent conversation, in intervals. Silence longer than that
	// is not counted out in it.
	idleWindows = 70
	// maxSilence is after how much all attacks are over, so that more of it tells nothing.
	maxSilence = time.Hour
	// minFrame is the least the kernel takes in a test run (net/bpf/test_run.c, ETH_HLEN).
	minFrame = 14
	// checkEvery is after how many frames a cancelled context is noticed, at the latest.
	checkEvery = 4096
)

// ErrNoProgram is in the error of a Run for which the packet program could not be loaded.
var ErrNoProgram = errors.New("the packet program cannot be loaded")

// Options is what to make of a capture.
type Options struct {
	// Interface stands in the findings.
	Interface string
	// Detect must be valid.
	Detect detect.Config
	// Found is called with each finding, in order of time.
	OnDetection func(detect.Detection)
	// Progress, if set, is called now and then with the number of frames so far.
	OnProgress func(frames uint64)
}

// Summary says what was in a capture.
type Summary struct {
	Capture  capture.Stats
	Detector detect.Stats
	// First and Last are the times of the first and the last frame.
	First, Last time.Time
	// Packets and Malformed are what the program counted; Short frames are too short to be given to it.
	Packets, Malformed, Short uint64
}

// Run judges the capture in r, until its end or that of ctx, whose error it returns then with what was found so far.
// It needs Linux, and the right to load the program.
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

// replayer is one run.
type replayer struct {
	opts     Options
	engine   *bpf.Engine
	detector *detect.Detector
	sum      Summary

	begin  time.Time // of the window
	silent int       // windows without a frame, one after the other
	frames uint64
}

func (p *replayer) run(ctx context.Context, r *capture.Reader) error {
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p.finish(nil)
		}
		if err != nil {
			return p.finish(err)
		}
		if p.frames%checkEvery == 0 && ctx.Err() != nil {
			return p.finish(ctx.Err())
		}
		if err := p.frame(ctx, f); err != nil {
			return p.finish(err)
		}
	}
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

// advance ends the windows before at.
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

// endWindow ends a window.
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

// finish lets handshakes time out, and ends what still runs.
func (p *replayer) finish(err error) error {
	for range 2 {
		if p.frames > 0 {
			err = errors.Join(err, p.endWindow())
		}
	}
	p.report(p.detector.Close())
	return err
}

func (p *replayer) report(findings []detect.Detection) {
	for _, f := range findings {
		p.opts.OnDetection(f)
	}
}
