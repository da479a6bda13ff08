package bpf

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
)

// Run gives the program one frame, at least 14 bytes, from the Ethernet header on. at counts in replay only.
func (e *Engine) Run(frame []byte, at time.Time) (Verdict, error) {
	if e.replay {
		now := uint64(at.UnixNano())
		if err := store(e.control, unsafe.Offsetof(programControl{}.Now), &now); err != nil {
			return Aborted, fmt.Errorf("set the time: %w", err)
		}
		if e.start.IsZero() {
			e.start = at
		}
	}
	verdict, err := e.xdp.Run(&ebpf.RunOptions{Data: frame})
	if err != nil {
		return Aborted, fmt.Errorf("run the packet program on %d bytes: %w", len(frame), explain(err))
	}
	return Verdict(verdict), nil
}
