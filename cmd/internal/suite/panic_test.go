package suite_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys" //nolint:depguard // the test is a module on another machine
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// A goroutine of one real module panics, three times. The other goes on meanwhile;
// the one that panicked is unhealthy, comes back, and has lost nothing.
func TestPanicInOneModuleLeavesTheOthersDelivering(t *testing.T) {
	t.Parallel()
	for victim, other := range map[string]string{
		bus.LogPipeline: bus.ActionCollector, bus.ActionCollector: bus.LogPipeline,
	} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			d := newDelivering(t)
			trigger := make(chan struct{})
			d.run(d.process().Sabotaged(victim, trigger))
			d.works(bus.LogPipeline, bus.ActionCollector)
			for range 3 {
				trigger <- struct{}{}
				require.Eventually(t, func() bool { return d.of(victim).Status != event.Healthy }, patience, time.Millisecond)
				require.Contains(t, fmt.Sprint(d.of(victim).Reasons), "sabotage")
				require.Equal(t, event.Healthy, d.of(other).Status, d.of(other).Reasons)
				d.works(other)
				d.works(victim)
			}
			require.Zero(t, d.stop())
			d.nothingLost()
		})
	}
}

// delivering is a daemon that gets lines and actions, and what came of them.
type delivering struct {
	*instance
	actions       *bus.Publisher
	lines, acted  int
	seed          []byte
	address       string
	authority     *testenv.Authority
	stored, trail map[string]int
}

func newDelivering(t *testing.T) *delivering {
	t.Helper()
	d := &delivering{instance: install(t, ""), address: testenv.FreeAddr(t), authority: testenv.NewAuthority(t)}
	cert, key := d.authority.Server()
	d.configure(d.logsOn())
	d.replace("[bus]", fmt.Sprintf("[bus]\nlisten = %q\ntls_ca = %q\ntls_cert = %q\ntls_key = %q", d.address, d.authority.Path, cert, key))
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	d.seed, err = pair.Seed()
	require.NoError(t, err)
	keys := filepath.Join(d.dir, "data", "keys")
	require.NoError(t, os.MkdirAll(keys, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(keys, bus.ContainerGuard+".suite.nk"), []byte(public), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "app.log"), nil, 0o600))
	return d
}

// works has module deliver something new.
func (d *delivering) works(modules ...string) {
	d.t.Helper()
	for _, module := range modules {
		if module == bus.LogPipeline {
			d.line()
		} else {
			d.action()
		}
	}
}

// line appends a line that alerts, of a user of its own, and waits for the alert.
func (d *delivering) line() {
	d.t.Helper()
	user := fmt.Sprintf("user%d", d.lines)
	d.lines++
	f, err := os.OpenFile(filepath.Join(d.dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(d.t, err)
	_, err = fmt.Fprintf(f, "%s web sudo:  %s : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n", time.Now().Format(time.Stamp), user)
	require.NoError(d.t, err)
	require.NoError(d.t, f.Close())
	require.Eventually(d.t, func() bool { return d.alerts()[user] == 1 }, patience, 5*time.Millisecond, "no alert for %s", user)
}

// alerts counts the stored first alerts by user.
func (d *delivering) alerts() map[string]int {
	d.t.Helper()
	conn, err := bus.DialSocket(d.t.Context(), d.dir+"/bus.sock")
	require.NoError(d.t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(d.t.Context())) }()
	users := map[string]int{}
	err = conn.History(d.t.Context(), bus.Alerts, bus.HistoryOptions{}, func(got bus.Delivery) bool {
		var a event.Alert
		if event.Decode(got.Data, &a) == nil && !a.Update {
			users[a.User]++
		}
		return true
	})
	require.NoError(d.t, err)
	d.stored = users
	return users
}

// action publishes an action as a guard elsewhere and waits for its record.
func (d *delivering) action() {
	d.t.Helper()
	if d.actions == nil {
		conn, err := bus.Connect(d.t.Context(), bus.Options{
			Module: bus.ContainerGuard, Host: "suite", Seed: d.seed, URL: "tls://" + d.address, TLS: d.authority.TLS(),
		})
		require.NoError(d.t, err)
		d.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(d.t.Context())) })
		d.actions, err = conn.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: "suite"})
		require.NoError(d.t, err)
	}
	id := fmt.Sprintf("action%d", d.acted)
	d.acted++
	require.NoError(d.t, d.actions.Publish(d.t.Context(), &event.Action{
		ID: id, Schema: event.Schema, Time: time.Now().UTC(), Module: bus.ContainerGuard, Host: "suite", Kind: "notify", Target: "web", Phase: event.Done,
	}))
	require.Eventually(d.t, func() bool { return d.audited()[id] == 1 }, patience, 5*time.Millisecond, "no record of %s", id)
}

// audited counts the records of the trail by action.
func (d *delivering) audited() map[string]int {
	f, err := os.Open(filepath.Join(d.dir, "data", "audit", "audit.log"))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read
	ids := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var record struct{ ID string }
		if json.Unmarshal(lines.Bytes(), &record) == nil {
			ids[record.ID]++
		}
	}
	d.trail = ids
	return ids
}

// nothingLost compares what was given with what was stored, once each.
func (d *delivering) nothingLost() {
	d.t.Helper()
	d.audited()
	require.Len(d.t, d.stored, d.lines)
	require.Len(d.t, d.trail, d.acted)
	for _, counts := range []map[string]int{d.stored, d.trail} {
		for id, n := range counts {
			require.Equal(d.t, 1, n, id)
		}
	}
	d.t.Logf("3 panics: %d lines alerted once each, %d actions audited once each", d.lines, d.acted)
}

func (d *delivering) of(module string) event.ModuleHealth {
	d.t.Helper()
	for _, m := range d.health().Modules {
		if m.Name == module {
			return m
		}
	}
	return event.ModuleHealth{}
}
