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
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// The ring buffer is read this often. The program never wakes the reader: that would cost more than the packet.
	pollInterval = 100 * time.Millisecond
	// idleInterval is the pause after the ring buffer was empty.
	idleInterval = 400 * time.Millisecond
	// maxSamples bounds the samples of one call.
	maxSampleBatch = 512
)

// Samples calls fn with the samples of the ring buffer, at most 512 at a time and 400 ms after the program took them, until ctx ends;
// then it returns nil. Close must not be called before. fn must not keep its argument. When fn is slow the ring buffer fills, and
// samples without room are counted as lost.
func (e *Engine) Samples(ctx context.Context, fn func([]traffic.Sample)) error {
	samples := make([]traffic.Sample, 0, maxSampleBatch)
	for {
		var err error
		if samples, err = e.readSamples(samples[:0], maxSampleBatch); err != nil {
			return err
		}
		wait := idleInterval
		if len(samples) > 0 {
			fn(samples)
			wait = pollInterval
		}
		if len(samples) == maxSampleBatch {
			wait = 0
		}
		task.Pause(ctx, wait)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// readSamples appends what is in the ring buffer, until there are limit samples.
func (e *Engine) readSamples(samples []traffic.Sample, limit int) ([]traffic.Sample, error) {
	var rec ringbuf.Record
	at := clockFor(e.replay)
	for len(samples) < limit && e.ring.AvailableBytes() > 0 {
		e.ring.SetDeadline(time.Now())
		err := e.ring.ReadInto(&rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return samples, fmt.Errorf("read samples of %s: %w", e.name, err)
		}
		samples = append(samples, sampleOf(rec.RawSample, at))
	}
	return samples, nil
}

// sampleOf decodes a record of the ring buffer.
func sampleOf(data []byte, at clock) traffic.Sample {
	var s programSample
	copy(bytesOf(&s), data)
	return traffic.Sample{
		Time:   at.wallTime(s.Time),
		Source: netip.AddrPortFrom(fromKernelAddr(s.Src), s.Sport),
		Target: netip.AddrPortFrom(fromKernelAddr(s.Dst), s.Dport),
		Proto:  s.Proto, Flags: s.Flags, Class: traffic.Class(s.Class), Bytes: s.Bytes,
		Fragment: s.Fragment != 0, VLAN: s.Vlan, Reply: s.Reply != 0,
		Outcome: traffic.Outcome(s.Outcome), Outbound: s.Outbound != 0,
	}
}
