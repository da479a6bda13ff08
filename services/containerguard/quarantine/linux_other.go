//go:build !linux

package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/ironpost/ironpost/internal/docker"
)

// destroyConnections needs the container's network namespace.
func destroyConnections(context.Context, docker.Container) error {
	return errors.New("network namespaces need Linux")
}

// frozen trusts Docker.
func frozen(docker.Container) bool { return true }

var errNoProcesses = errors.New("processes of containers need Linux")

// writeSockets needs /proc.
func writeSockets(context.Context, docker.Container, []int, io.Writer) error { return errNoProcesses }

// writeExecutables needs /proc.
func writeExecutables(context.Context, docker.Container, []int, io.Writer) error {
	return errNoProcesses
}

// cutEgress needs the host's end of the container's interfaces.
func cutEgress(context.Context, docker.Container) (string, error) {
	return "", fmt.Errorf("%w: cutting egress needs Linux", docker.ErrForbidden)
}

// egressOpen trusts that nothing was cut.
func egressOpen(context.Context, docker.Container) string {
	return "outgoing connections were possible"
}

// restoreEgress has nothing to restore.
func restoreEgress(context.Context, docker.Container) error { return nil }

// removeInterface needs the container's network namespace.
func removeInterface(context.Context, docker.Container, netip.Addr) error {
	return errors.New("network namespaces need Linux")
}
