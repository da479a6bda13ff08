// Package attach attaches the packet programs to network interfaces. It finds the interfaces, reports when they change, opens
// the folder of pins on the bpf file system, and attaches XDP by links that are pinned there: a pinned program goes on dropping
// packets when the process is killed, and the next start takes it over by exchanging the program in one step (bpf(2),
// BPF_LINK_UPDATE).
package attach

import "errors"

// Auto stands for the interfaces of the default routes.
const Auto = "auto"

// Mode is where in the kernel XDP runs. AnyMode may be asked for only.
type Mode string

// The modes, as in ebpf.xdp_mode.
const (
	// AnyMode is Native, or SKB where the driver refuses that.
	AnyMode Mode = "auto"
	// Native runs in the driver, before the kernel has made anything of the packet.
	Native Mode = "native"
	// SKB runs in the network stack. It works with any driver; on hardware it is slower.
	SKB Mode = "skb"
	// HW runs on the network card.
	HW Mode = "hw"
)

// The errors that callers distinguish.
var (
	// ErrForeign is returned where an XDP program of another owner is attached: the kernel has room for one.
	ErrForeign = errors.New("another XDP program is attached")
	// ErrUnsupported is returned where the platform or the kernel lacks a feature.
	ErrUnsupported = errors.New("not supported here")
)

// Interface is a network interface as the kernel has it.
type Interface struct {
	Name  string
	Index int
	// Ethernet says that frames begin with an Ethernet header; the program reads no others.
	Ethernet bool
	// ProgramID is the id of the attached XDP program, 0 for none, and Mode where it runs.
	ProgramID uint32
	Mode      Mode
}
