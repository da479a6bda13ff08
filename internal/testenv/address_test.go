package testenv_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// Tests that ask at the same time, and before they listen, get addresses of their own, for TCP and UDP.
func TestFreeAddrIsGivenOnce(t *testing.T) {
	t.Parallel()
	const askers, each = 8, 50
	var mu sync.Mutex
	given := map[string]int{}
	var group sync.WaitGroup
	for range askers {
		group.Go(func() {
			for range each {
				address := testenv.FreeAddr(t)
				mu.Lock()
				given[address]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for address, times := range given {
		require.Equal(t, 1, times, address)
		stream, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, stream.Close())
		packets, err := net.ListenPacket("udp", address)
		require.NoError(t, err)
		require.NoError(t, packets.Close())
	}
}
