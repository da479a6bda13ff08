package syslog

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const testLimit = 10_000

// put queues a record of one sender.
func put(q *datagramQueues, peer, record string) bool {
	return q.add(sequenceName(UDP, netip.MustParseAddr(peer)), len(record), testLimit, func() []byte { return []byte(record) })
}

// Senders that flood take no room of one that does not, however many they are, and the writer takes turns.
func TestFloodingSendersLeaveRoom(t *testing.T) {
	t.Parallel()
	for flooders := range 20 {
		q := newDatagramQueues(UDP)
		refused := 0
		for i := range 50_000 * min(1, flooders) {
			if !put(q, fmt.Sprintf("192.0.2.%d", 1+i%flooders), "noise") {
				refused++
			}
		}
		require.Equal(t, flooders > 0, refused > 0)
		for i := range 10 {
			require.True(t, put(q, "198.51.100.7", fmt.Sprint("quiet", i)), "%d flooders", flooders)
		}
		require.LessOrEqual(t, q.used, testLimit)
		var senders []string
		for range flooders + 1 {
			sender, records, n, ok := q.take(nil, 12)
			require.True(t, ok)
			require.Positive(t, n)
			require.LessOrEqual(t, len(records), 12)
			senders = append(senders, sender)
		}
		require.Contains(t, senders, "udp-198.51.100.7", "all had a turn")
	}
}

// More senders than queues: what is held stays bounded, and the order of each sender is kept.
func TestManySendersShareTheLastQueue(t *testing.T) {
	t.Parallel()
	q := newDatagramQueues(UDP)
	for i := range 5 * maxQueues {
		put(q, fmt.Sprintf("10.0.%d.%d", i/256, i%256), "x")
	}
	require.LessOrEqual(t, len(q.senders), maxQueues+1)
	require.Equal(t, 5*maxQueues, q.used)
	q.close()
	total := 0
	for {
		_, _, n, ok := q.take(nil, 100)
		if !ok {
			break
		}
		total += n
	}
	require.Equal(t, 5*maxQueues, total)
	require.Empty(t, q.senders)
	require.Zero(t, q.used)
}
