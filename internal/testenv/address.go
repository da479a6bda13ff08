package testenv

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ports below the ranges from which systems choose (Linux from 32768, others from 49152),
// so that no connection and no other listener gets one by chance.
const (
	firstPort = 20_000
	lastPort  = 32_766
)

// FreeAddr returns an address of 127.0.0.1 on which nothing listens, over TCP or UDP, and
// which no other test of this machine gets until t ends. It gives even ports only: the
// listener on the odd port after it reserves the pair.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var errs error
	for range 1000 {
		port := firstPort + 2*rand.IntN((lastPort-firstPort)/2)
		reserved, err := net.Listen("tcp", local(port+1))
		if err != nil {
			errs = err
			continue
		}
		stream, err := net.Listen("tcp", local(port))
		if err == nil {
			var packets net.PacketConn
			if packets, err = net.ListenPacket("udp", local(port)); err == nil {
				err = packets.Close()
			}
			err = errors.Join(err, stream.Close())
		}
		if err != nil {
			errs = errors.Join(err, reserved.Close())
			continue
		}
		t.Cleanup(func() { _ = reserved.Close() })
		return local(port)
	}
	require.NoError(t, errs, "no free port")
	return ""
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
