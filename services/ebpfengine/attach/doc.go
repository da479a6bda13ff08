// Package attach puts the packet program onto network interfaces and keeps it
// there. It finds the interfaces, tells when they come and go, holds the folder of
// pins on the bpf file system, and attaches by links that are pinned there: what is
// pinned goes on dropping packets when the process is killed, and the next start
// takes it over by exchanging the program in one step (bpf(2), BPF_LINK_UPDATE).
package attach

import "errors"

// Auto stands for the interfaces of the default routes.
const Auto = "auto"

// Mode is where in the kernel XDP runs. As a wish it may be AnyMode.
type Mode string

// The modes, as in ebpf.xdp_mode.
const (
	// AnyMode is Native, or SKB where the driver refuses that.
	AnyMode Mode = "auto"
	// Native runs in the driver, before the kernel has made anything of the packet.
	Native Mode = "native"
	// SKB runs in the network stack. Any driver can do it; it is slower on hardware.
	SKB Mode = "skb"
	// HW runs on the network card.
	HW Mode = "hw"
)

// The errors that callers tell apart.
var (
	// ErrForeign is returned where somebody else's XDP program is attached: the kernel
	// has room for one.
	ErrForeign = errors.New("another XDP program is attached")
	// ErrUnsupported is returned where the platform or the kernel cannot do it.
	ErrUnsupported = errors.New("not supported here")
)

// Interface is a network interface as the kernel has it.
type Interface struct {
	Name  string
	Index int
	// Ethernet says that frames begin with an Ethernet header; the program reads no other.
	Ethernet bool
	// ProgramID is the XDP program that runs on it, 0 for none, and Mode where it does.
	ProgramID uint32
	Mode      Mode
}
