//go:build !linux

package quarantine

import (
	"context"
	"errors"
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

// removeInterface needs the container's network namespace.
func removeInterface(context.Context, docker.Container, netip.Addr) error {
	return errors.New("network namespaces need Linux")
}
