package suite

import (
	"context"
	"strings"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// A durable that was deleted is made again, and its module's health names it.
func TestDeletedDurableIsRestoredAndReported(t *testing.T) {
	t.Parallel()
	const patience = 30 * time.Second
	b := bustest.New(t)
	log, _ := logtest.NewNullLogger()
	c := newStreamMaintenance(&connections{admin: b.Admin(), durables: b.Durables()}, log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()

	durable, ok := bus.DurableOf(bus.ActionCollector, bus.Actions, b.Host(), bus.InFlight{})
	require.True(t, ok)
	subject := string(durable.Stream) + "." + durable.Name
	admin := b.Raw(bus.Daemon)
	_, err := admin.Request("$JS.API.CONSUMER.DELETE."+subject, nil, patience)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // that it is missing comes first
		return strings.Contains(strings.Join(c.reasons()[bus.ActionCollector], "; "), "was deleted at ")
	}, patience, 10*time.Millisecond)
	require.Empty(t, c.reasons()[bus.ContainerGuard])
	states, err := b.Admin().StreamStates(t.Context(), b.Durables())
	require.NoError(t, err)
	for _, s := range states {
		for _, d := range s.Durables {
			require.True(t, d.Present, d.Name)
		}
	}
	cancel()
	require.NoError(t, <-done)
}

// What another host's durable does to the streams is reported for the bus, not for a
// module of this host.
func TestBusFaultIsReportedAsBus(t *testing.T) {
	t.Parallel()
	c := newStreamMaintenance(&connections{}, nil)
	c.record(bus.MaintenanceReport{Reasons: map[string][]string{bus.Daemon: {"full"}, bus.ContainerGuard: {"behind"}}})
	require.Equal(t, map[string][]string{busName: {"full"}, bus.ContainerGuard: {"behind"}}, c.reasons())
}
