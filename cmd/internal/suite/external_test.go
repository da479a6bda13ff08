package suite_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server" //nolint:depguard // the test needs a server that is not ours
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// stockServer runs a NATS server with JetStream and no setting of ours.
func stockServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(patience))
	return s
}

// On somebody else's server everything works as on ours; when it is away the modules
// say so, and a stop does not wait for it.
func TestAnExternalBus(t *testing.T) {
	t.Parallel()
	nats := stockServer(t)
	i := install(t, "")
	i.configure(i.logsOn())
	i.replace("[bus]\n", fmt.Sprintf("[bus]\nmode = \"external\"\nurl = %q\n", nats.ClientURL()))
	log := i.dir + "/app.log"
	require.NoError(t, os.WriteFile(log, nil, 0o600))
	i.start()
	require.Contains(t, i.await("using an external bus")["durability"], "sync_interval")
	require.NoDirExists(t, i.dir+"/data/bus")
	require.NoError(t, os.WriteFile(log, []byte("Nov 23 10:00:00 web sudo: mallory : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n"), 0o600))
	i.await("alert raised")
	require.Equal(t, event.Healthy, i.health().Status)

	nats.Shutdown()
	require.Eventually(t, func() bool { return i.health().Status == event.Degraded }, patience, 20*time.Millisecond)
	for _, m := range i.health().Modules {
		if m.Enabled && m.Name != "bus" {
			require.Contains(t, m.Reasons, "not connected to the bus", m.Name)
		}
	}
	began := time.Now()
	require.Zero(t, i.stop())
	require.Less(t, time.Since(began), 10*time.Second)
}
