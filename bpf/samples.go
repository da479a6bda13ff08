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
	// pollEvery is how often the ring buffer is read. The program never wakes the reader: that would cost more than
	// the packet.
	pollInterval = 100 * time.Millisecond
	// maxSamples bounds the samples of one call.
	maxSampleBatch = 512
)

// Samples calls fn with the samples of the ring buffer, every 100 ms if there are any, at most 512 at a time, until ctx ends or the
// Engine is closed; then it returns nil. fn must not keep its argument. When fn is slow the ring buffer fills, and samples without
// room are counted as lost.
func (e *Engine) Samples(ctx context.Context, fn func([]traffic.Sample)) error {
	var rec ringbuf.Record
	samples := make([]traffic.Sample, 0, maxSampleBatch)
	for ctx.Err() == nil {
		e.ring.SetDeadline(time.Now().Add(pollInterval))
		at := clockFor(e.replay)
		for len(samples) < maxSampleBatch {
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
