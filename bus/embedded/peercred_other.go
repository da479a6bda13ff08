//go:build !linux

package embedded

import (
	"errors"
	"io/fs"
	"net"
)

// peersKnown says that this system cannot tell who is at the other end of a
// socket, so there is no socket.
const peersKnown = false

func peerOf(net.Conn) (peer, error) {
	return peer{}, errors.ErrUnsupported
}

func ownerOf(fs.FileInfo) (uid int, known bool) {
	return 0, false
}
