//go:build !linux

package embedded

import (
	"errors"
	"net"
)

// peersKnown says that this system cannot tell who is at the other end of a
// socket, so there is no socket.
const peersKnown = false

func peerOf(net.Conn) (peer, error) {
	return peer{}, errors.ErrUnsupported
}
