//go:build !linux

package attach

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/cilium/ebpf"
)

// Pins does nothing here.
type Pins struct{}

// Link is never made here.
type Link struct {
	Interface          Interface
	Adopted            bool
	Fallback, Unpinned string
}

// Find returns ErrUnsupported.
func Find([]string) ([]Interface, []string, error) { return nil, nil, absent() }

// Watch blocks until ctx ends: nothing changes here.
func Watch(ctx context.Context, _ chan<- struct{}) error {
	<-ctx.Done()
	return nil
}

// OpenPins returns ErrUnsupported.
func OpenPins(string) (Pins, error) { return Pins{}, absent() }

// PinnedInterfaces returns nothing.
func PinnedInterfaces(string) []string { return nil }

// Dir returns nothing.
func (Pins) Dir() string { return "" }

// XDP returns ErrUnsupported.
func (Pins) XDP(Interface, Mode, *ebpf.Program) (*Link, error) { return nil, absent() }

// PinnedInterfaces returns nothing.
func (Pins) PinnedInterfaces([]Interface) ([]Interface, error) { return nil, nil }

// RemoveExcept has nothing to detach.
func (Pins) RemoveExcept([]Interface) (int, error) { return 0, nil }

// Egress returns ErrUnsupported.
func Egress(Interface, *ebpf.Program) (io.Closer, error) { return nil, absent() }

// Exists is false.
func Exists(Interface) bool { return false }

// MissingRequirements says that this is not Linux.
func MissingRequirements() []string { return []string{"XDP needs Linux"} }

// Attached is false: nothing is attached.
func (*Link) Attached() bool { return false }

// Close does nothing.
func (*Link) Close() error { return nil }

// Detach does nothing.
func (*Link) Detach() error { return nil }

func absent() error {
	return fmt.Errorf("XDP needs Linux, this is %s: %w", runtime.GOOS, ErrUnsupported)
}
