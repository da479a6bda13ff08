package bpf

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// kernelClock returns the relation of the monotonic clock to the wall clock at now. It changes whenever the wall clock is set, so
// it is read anew each time.
func kernelClock(now time.Time) clock {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return clock{} // never: the clock exists since Linux 2.6
	}
	return clock{offset: now.UnixNano() - ts.Nano()}
}

// haveTCX returns ErrNoEgress where programs cannot be attached to TCX. It attaches to an interface that cannot exist: only a
// kernel with TCX looks for the interface.
func haveTCX() error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("probe for tcx: %w", explain(err))
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: math.MaxInt32, Program: prog, Attach: ebpf.AttachTCXEgress})
	if closeErr := prog.Close(); closeErr != nil {
		return closeErr
	}
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("%w: needs linux 6.6", ErrNoEgress)
	}
	return nil
}
