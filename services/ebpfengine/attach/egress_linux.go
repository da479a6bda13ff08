package attach

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Egress attaches program to what leaves the interface, beside the programs of others
// (TCX, Linux 6.6). Closing what it returns detaches it, and so does the end of the
// process: it only counts. ErrUnsupported says that the kernel has no TCX.
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

func byIndex(index int) (Interface, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return Interface{}, fmt.Errorf("interface %d: %w", index, err)
	}
	return interfaceOf(l.Attrs()), nil
}

// Exists tells whether the interface is still there under its name.
func Exists(i Interface) bool {
	now, err := byIndex(i.Index)
	return err == nil && now.Name == i.Name
}
