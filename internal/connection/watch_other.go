//go:build !linux

package connection

import (
	"context"
	"errors"
	"net/netip"
)

var errNotLinux = errors.New("connections are known on Linux only")

func (w *Watcher) watch(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func dump() ([]socket, error) { return nil, errNotLinux }

func dumpIn(string) ([]socket, error) { return nil, errNotLinux }

// Began is for Linux.
func Began(Container, netip.AddrPort, netip.AddrPort) (bool, error) { return false, errNotLinux }
