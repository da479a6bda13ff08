package bustest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

func TestNewGivesEveryModuleAConnection(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	for _, module := range append(bus.ModuleNames(), bus.Daemon, bus.Operator) {
		require.True(t, b.Conn(module).Connected(), module)
	}
}

func TestRestartKeepsConnections(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	conn := b.Conn(bus.LogPipeline)
	b.Restart()
	require.True(t, conn.Connected())
	require.Empty(t, conn.Reasons())
}

func TestStopTwice(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	b.Stop()
	b.Stop()
}
