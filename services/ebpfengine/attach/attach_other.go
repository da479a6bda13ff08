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

// Pinned returns nothing.
func Pinned(string) []string { return nil }

// Dir returns nothing.
func (Pins) Dir() string { return "" }

// XDP returns ErrUnsupported.
func (Pins) XDP(Interface, Mode, *ebpf.Program) (*Link, error) { return nil, absent() }

// Held returns nothing.
func (Pins) Held([]Interface) ([]Interface, error) { return nil, nil }

// Keep has nothing to detach.
func (Pins) Keep([]Interface) (int, error) { return 0, nil }

// Egress returns ErrUnsupported.
func Egress(Interface, *ebpf.Program) (io.Closer, error) { return nil, absent() }

// Exists is false.
func Exists(Interface) bool { return false }

// Lacking says that this is not Linux.
func Lacking() []string { return []string{"XDP needs Linux"} }

// Current is false: nothing is attached.
func (*Link) Current() bool { return false }

// Release does nothing.
func (*Link) Release() error { return nil }

// Detach does nothing.
func (*Link) Detach() error { return nil }

func absent() error {
	return fmt.Errorf("XDP needs Linux, this is %s: %w", runtime.GOOS, ErrUnsupported)
}
