package bus_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// A batch is one request with one answer: a small window of Send's does not make more,
// smaller batches of it, each of which waits for the disk.
func TestBatchSizeIsIndependentOfInFlight(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	p, err := b.Conn(bus.LogPipeline).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: b.Host(), InFlight: 7})
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
	require.Equal(t, 100, largest)
}
