package bpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// pollEvery is how often the ring buffer is looked at. The program never wakes the reader: that would cost more
	// than the packet.
	pollEvery = 10 * time.Millisecond
	// maxSamples is how many samples are handed on at once.
	maxSamples = 512
)

// Samples calls fn with the samples of the ring buffer, every 10 ms if there are any, at most 512 at a time, until ctx ends
// (then it returns nil) or the Engine is closed. fn may keep nothing of its argument. When fn is slow the ring fills, and
// what no longer fits is counted as lost.
func (e *Engine) Samples(ctx context.Context, fn func([]traffic.Sample)) error {
	var rec ringbuf.Record
	samples := make([]traffic.Sample, 0, maxSamples)
	for ctx.Err() == nil {
		e.ring.SetDeadline(time.Now().Add(pollEvery))
		at := e.clock()
		for len(samples) < maxSamples {
			err := e.ring.ReadInto(&rec)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if errors.Is(err, ringbuf.ErrClosed) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read samples of %s: %w", e.name, err)
			}
			samples = append(samples, sampleOf(rec.RawSample, at))
		}
		if len(samples) > 0 {
			fn(samples)
			samples = samples[:0]
		}
	}
	return nil
}

// Drain returns the samples that wait in the ring buffer, at once. It is for replay; not together with Samples.
func (e *Engine) Drain() ([]traffic.Sample, error) {
	var rec ringbuf.Record
	var samples []traffic.Sample
	at := e.clock()
	for e.ring.AvailableBytes() > 0 {
		e.ring.SetDeadline(time.Now())
		if err := e.ring.ReadInto(&rec); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				continue
			}
			return samples, fmt.Errorf("read samples of %s: %w", e.name, err)
		}
		samples = append(samples, sampleOf(rec.RawSample, at))
	}
	return samples, nil
}

func (e *Engine) clock() clock {
	if e.replay {
		return clock{}
	}
	return kernelClock(time.Now())
}

// sampleOf reads what the program wrote; data is as long as the program made it.
func sampleOf(data []byte, at clock) traffic.Sample {
	var s programSample
	copy(raw(&s), data)
	return traffic.Sample{
		Time:   at.from(s.Time),
		Source: netip.AddrPortFrom(fromWire(s.Src), s.Sport),
		Target: netip.AddrPortFrom(fromWire(s.Dst), s.Dport),
		Proto:  s.Proto, Flags: s.Flags, Class: traffic.Class(s.Class), Bytes: s.Bytes,
		Fragment: s.Fragment != 0, VLAN: s.Vlan, Reply: s.Reply != 0,
	}
}
