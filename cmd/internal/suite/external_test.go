package suite_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server" //nolint:depguard // the test needs servers that are not ours
	"github.com/nats-io/nats.go"               //nolint:depguard // as server
	"github.com/nats-io/nats.go/jetstream"     //nolint:depguard // as server
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// onExternalBus returns a daemon on the bus of servers, with more keys in [bus], that follows app.log.
func onExternalBus(t *testing.T, keys string, servers ...*server.Server) *instance {
	t.Helper()
	urls := make([]string, len(servers))
	for k, s := range servers {
		urls[k] = s.ClientURL()
	}
	i := install(t, "")
	i.configure(i.logsOn())
	i.replace("[bus]\n", fmt.Sprintf("[bus]\nmode = \"external\"\nurl = %q\n%s", strings.Join(urls, ","), keys))
	require.NoError(t, os.WriteFile(i.dir+"/app.log", nil, 0o600))
	return i
}

// alarm appends a line about user that alerts, and waits for the alert.
func (i *instance) alarm(user string) {
	i.t.Helper()
	f, err := os.OpenFile(i.dir+"/app.log", os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(i.t, err)
	_, err = fmt.Fprintf(f, "Nov 23 10:00:00 web sudo: %s : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n", user)
	require.NoError(i.t, err)
	require.NoError(i.t, f.Close())
	require.Eventually(i.t, func() bool { return i.await("alert raised")["user"] == user }, patience, 5*time.Millisecond)
}

func streams(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// On an external server everything works as on the embedded one; when it is away the modules
// say so, and a stop does not wait for it.
func TestAnExternalBus(t *testing.T) {
	t.Parallel()
	nats := foreignServer(t, stock)
	i := onExternalBus(t, "", nats)
	i.start()
	require.Contains(t, i.await("using an external bus")["durability"], "sync_interval")
	require.NoDirExists(t, i.dir+"/data/bus")
	i.alarm("mallory")
	require.Equal(t, event.Healthy, i.health().Status)

	nats.Shutdown()
	require.Eventually(t, func() bool { // each connection hears of it for itself
		for _, m := range i.health().Modules {
			if m.Enabled && !slices.Contains(m.Reasons, "not connected to the bus") {
				return false
			}
		}
		return true
	}, patience, 20*time.Millisecond)
	require.Equal(t, event.Degraded, i.health().Status)
	began := time.Now()
	require.Zero(t, i.stop())
	require.Less(t, time.Since(began), 10*time.Second)
}

// Three copies of every stream outlive the server that leads the stream of alerts; one
// server alone cannot keep three.
func TestReplicas(t *testing.T) {
	t.Parallel()
	single := onExternalBus(t, "replicas = 3\n", foreignServer(t, stock))
	require.Equal(t, 1, single.process().Run(t.Context()))
	require.Contains(t, single.stderr.String(), "stream "+string(bus.Packets)+": nats: API error: code=500 err_code=10074 description=replicas > 1 not supported in non-clustered mode")

	servers := foreignCluster(t)
	i := onExternalBus(t, "replicas = 3\n", servers...)
	i.start()
	i.alarm("mallory")
	for _, s := range servers {
		if s.JetStreamIsStreamLeader("$G", string(bus.Alerts)) {
			s.Shutdown()
			s.WaitForShutdown()
			break
		}
	}
	i.alarm("eve")
	require.Zero(t, i.stop())
}

// An external bus that requires a key gets that of credentials_file, in either form.
func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T) credentials{"nkey": nkeyFile, "token": tokenFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			creds := make(t)
			theirs := foreignServer(t, creds.set)
			keyless := onExternalBus(t, "", theirs)
			require.Equal(t, 1, keyless.process().Run(t.Context()))
			require.Contains(t, keyless.stderr.String(), "Authorization Violation")

			i := onExternalBus(t, fmt.Sprintf("credentials_file = %q\n", creds.path), theirs)
			i.start()
			i.alarm("mallory")
			require.Zero(t, i.stop())
		})
	}
}

// The server delivers no more to a module, before it acknowledges, than the keys say.
func TestInFlight(t *testing.T) {
	t.Parallel()
	theirs := foreignServer(t, stock)
	i := onExternalBus(t, "packets_in_flight = 7\nalerts_in_flight = 8\nactions_in_flight = 9\n", theirs)
	i.replace("[log_pipeline]\n", "[container]\nenabled = true\ndocker_socket = \"/nosuch.sock\"\npolicy_path = \"/nosuch\"\n[log_pipeline]\n")
	i.start()
	js := streams(t, theirs.ClientURL())
	for _, want := range []struct {
		module string
		stream bus.StreamName
		most   int
	}{{bus.LogPipeline, bus.Packets, 7}, {bus.ContainerGuard, bus.Alerts, 8}, {bus.ActionCollector, bus.Actions, 9}} {
		d, ok := bus.DurableOf(want.module, want.stream, "suite", bus.InFlight{})
		require.True(t, ok)
		consumer, err := js.Consumer(t.Context(), string(d.Stream), d.Name)
		require.NoError(t, err)
		require.Equal(t, want.most, consumer.CachedInfo().Config.MaxAckPending, d.Name)
	}
	require.Zero(t, i.stop())
}
