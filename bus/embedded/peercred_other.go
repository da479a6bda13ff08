//go:build !linux

package embedded

import (
	"errors"
	"io/fs"
	"net"
)

// peerCredentialsSupported: this system does not report the credentials of a unix socket's
// peer, so there is no socket.
const peerCredentialsSupported = false

func peerCredentials(net.Conn) (peer, error) {
	return peer{}, errors.ErrUnsupported
}

func fileOwner(fs.FileInfo) (uid int, known bool) {
	return 0, false
}
