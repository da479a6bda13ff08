//go:build !linux

package attach

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"runtime"

	"github.com/cilium/ebpf"
)

// Pins is a folder of pins, which no other platform has.
type Pins struct{}

// Link is an attached program; other platforms have none.
type Link struct {
	Interface          Interface
	Adopted            bool
	Fallback, Unpinned string
}

// Find returns ErrUnsupported.
func Find([]string) ([]Interface, []string, error) { return nil, nil, unsupported() }

// Watch blocks until ctx ends and reports no change.
func Watch(ctx context.Context, _ chan<- struct{}) error {
	<-ctx.Done()
	return nil
}

// EndWithContainer reports whether pins end with a container: there are none.
func (Pins) EndWithContainer() bool { return false }

// OpenPins returns ErrUnsupported.
func OpenPins(string) (Pins, error) { return Pins{}, unsupported() }

// PinnedInterfaces returns nothing.
func PinnedInterfaces(string) []string { return nil }

// Dir returns nothing.
func (Pins) Dir() string { return "" }

// XDP returns ErrUnsupported.
func (Pins) XDP(Interface, Mode, *ebpf.Program) (*Link, error) { return nil, unsupported() }

// PinnedInterfaces returns nothing.
func (Pins) PinnedInterfaces([]Interface) ([]Interface, error) { return nil, nil }

// RemoveExcept returns 0.
func (Pins) RemoveExcept([]Interface) (int, error) { return 0, nil }

// Egress returns ErrUnsupported.
func Egress(Interface, *ebpf.Program) (io.Closer, error) { return nil, unsupported() }

// IsOutside returns false.
func IsOutside(netip.Addr, Interface) bool { return false }

// NameNow returns "".
func NameNow(Interface) string { return "" }

// MissingRequirements returns that XDP needs Linux.
func MissingRequirements() []string { return []string{"XDP needs Linux"} }

// Attached returns false.
func (*Link) Attached() bool { return false }

// Close does nothing.
func (*Link) Close() error { return nil }

// Detach does nothing.
func (*Link) Detach() error { return nil }

func unsupported() error {
	return fmt.Errorf("XDP needs Linux, this is %s: %w", runtime.GOOS, ErrUnsupported)
}
