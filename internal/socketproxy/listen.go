package socketproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Network returns "unix" for the path of a socket, and "tcp" for an address with a port.
func Network(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix"
	}
	return "tcp"
}

// Listen listens on an address with a port, or on the path of a unix socket, which it makes with
// mode 0660. A socket that a killed process left is replaced, one that answers is not.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network := Network(address)
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if network == "tcp" {
		return listener, err
	}
	if errors.Is(err, syscall.EADDRINUSE) && isLeft(ctx, address) {
		if err = os.Remove(address); err == nil {
			listener, err = (&net.ListenConfig{}).Listen(ctx, network, address)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address, 0o660); err != nil { //nolint:gosec // its group may connect
		return nil, errors.Join(fmt.Errorf("mode of the socket: %w", err), listener.Close())
	}
	return listener, nil
}

// isLeft reports whether path is a socket on which nobody listens.
func isLeft(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
