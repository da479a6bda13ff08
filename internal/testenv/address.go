package testenv

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ports below the ranges from which systems choose by themselves (Linux from 32768,
// others from 49152), so that no connection and no other listener has one by chance.
const (
	firstPort = 20_000
	lastPort  = 32_766
)

// FreeAddr returns an address of 127.0.0.1 that is t's until it ends: nobody listens
// there, over TCP or UDP, and no other test of this machine is given it. Only even ports are
// given; who holds the odd one after it, over TCP, has the pair.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var errs error
	for range 1000 {
		port := firstPort + 2*rand.IntN((lastPort-firstPort)/2)
		held, err := net.Listen("tcp", local(port+1))
		if err != nil {
			errs = err
			continue
		}
		if err := free(local(port)); err != nil {
			errs = errors.Join(err, held.Close())
			continue
		}
		t.Cleanup(func() { _ = held.Close() })
		return local(port)
	}
	require.NoError(t, errs, "no free port")
	return ""
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// free tells whether a program could listen on address, over TCP and UDP.
func free(address string) error {
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	return errors.Join(stream.Close(), packets.Close())
}
