package testenv_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// Concurrent calls, made before anything listens, return different addresses, free for TCP and UDP.
func TestFreeAddrReturnsDifferentAddresses(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 50
	var mu sync.Mutex
	returned := map[string]int{}
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range each {
				address := testenv.FreeAddr(t)
				mu.Lock()
				returned[address]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for address, times := range returned {
		require.Equal(t, 1, times, address)
		stream, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, stream.Close())
		packets, err := net.ListenPacket("udp", address)
		require.NoError(t, err)
		require.NoError(t, packets.Close())
	}
}
