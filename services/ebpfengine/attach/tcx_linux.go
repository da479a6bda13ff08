package attach

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Egress attaches program to the outgoing packets of the interface, beside other programs (TCX, Linux 6.6). Closing the result
// detaches it, and so does the end of the process: the program only counts. ErrUnsupported says that the kernel has no TCX.
func Egress(on Interface, program *ebpf.Program) (io.Closer, error) {
	l, err := link.AttachTCX(link.TCXOptions{Interface: on.Index, Program: program, Attach: ebpf.AttachTCXEgress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return nil, fmt.Errorf("%s: the kernel has no TCX, which came with Linux 6.6: %w", on.Name, ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: attach to egress: %w", on.Name, err)
	}
	return l, nil
}
