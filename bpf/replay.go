package bpf

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// Run runs the program on one frame of at least 14 bytes, from the Ethernet header on. The time at is used in replay only.
func (e *Engine) Run(frame []byte, at time.Time) (Verdict, error) {
	if err := e.setTime(at); err != nil {
		return Aborted, err
	}
	verdict, err := e.xdp.Run(&ebpf.RunOptions{Data: frame})
	if err != nil {
		return Aborted, fmt.Errorf("run the packet program on %d bytes: %w", len(frame), explain(err))
	}
	return Verdict(verdict), nil
}

// RunEgress runs the egress program on one frame. The time at is used in replay only.
func (e *Engine) RunEgress(frame []byte, at time.Time) error {
	if err := e.setTime(at); err != nil {
		return err
	}
	out, err := e.Egress()
	if err != nil {
		return err
	}
	if _, err := out.Run(&ebpf.RunOptions{Data: frame}); err != nil {
		return fmt.Errorf("run the egress program on %d bytes: %w", len(frame), explain(err))
	}
	return nil
}

// setTime sets the clock of replay.
func (e *Engine) setTime(at time.Time) error {
	if !e.replay {
		return nil
	}
	now, unknown := uint64(at.UnixNano()), uint64(0)
	err := errors.Join(store(e.shared, unsafe.Offsetof(programSharedState{}.Control.Now), &now), store(e.states, unsafe.Offsetof(programState{}.Jiffy), &unknown))
	if err != nil {
		return fmt.Errorf("set the time: %w", err)
	}
	if e.start.IsZero() {
		e.start = at
	}
	return nil
}

// Drain returns the samples in the ring buffer without waiting. It is for replay; not together with Samples.
func (e *Engine) Drain() ([]traffic.Sample, error) { return e.readSamples(nil, math.MaxInt) }

// Skip lets n windows without packets pass, as n calls of Collect do, at once. It is for replay, when all records are empty.
func (e *Engine) Skip(n int) error {
	e.epoch += uint32(n)
	if err := store(e.shared, unsafe.Offsetof(programSharedState{}.Control.Epoch), &e.epoch); err != nil {
		return fmt.Errorf("skip %d windows: %w", n, err)
	}
	return nil
}

// Reset forgets all traffic, so that another capture can be replayed. It is for replay, with no other call at the same time.
func (e *Engine) Reset() error {
	if _, err := e.Drain(); err != nil {
		return err
	}
	_, err := e.states.WriteAt(make([]byte, unsafe.Sizeof(programState{})), 0)
	_, errShared := e.shared.WriteAt(make([]byte, unsafe.Sizeof(programSharedState{})), 0)
	var errOutgoing error
	if e.outgoing.Memory != nil {
		_, errOutgoing = e.outgoing.WriteAt(make([]byte, unsafe.Sizeof(egressOutgoingState{})), 0)
	}
	if err := errors.Join(err, errShared, errOutgoing); err != nil {
		return fmt.Errorf("clear the counters: %w", err)
	}
	clear(e.idle)
	e.epoch, e.start = 0, time.Time{}
	return e.SetEgressAttached(false)
}
