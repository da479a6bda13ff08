package bus_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// No more goes out unanswered than InFlight allows, be it in one batch.
func TestABatchIsNoLargerThanInFlight(t *testing.T) {
	t.Parallel()
	for inFlight, want := range map[int]int{0: 100, 7: 7} {
		b := bustest.New(t)
		p, err := b.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: b.Host(), InFlight: inFlight})
		require.NoError(t, err)
		require.NoError(t, p.Publish(within(t, patience), alerts(b.Host(), 0, 210)...))
		largest := 0
		err = b.Conn(bus.Operator).History(within(t, patience), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
			n, err := strconv.Atoi(d.Header["Nats-Batch-Sequence"][0])
			require.NoError(t, err)
			largest = max(largest, n)
			return true
		})
		require.NoError(t, err)
		require.Equal(t, want, largest)
	}
}
