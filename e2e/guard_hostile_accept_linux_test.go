//go:build accept && linux

package e2e_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// 1,000 alerts about protected containers cause no response; 10,000 that name one
// container isolate it once.
func TestAcceptGuardHostile(t *testing.T) {
	f := newGuardSetup(t, wideCaps+"protected = [\"core-*\"]\n", "[[policy]]\nid = \"p\"\nactions = [\"isolate\", \"kill\"]\nrequire.signs = 1\nattribute_by = [\"id\", \"name\", \"address\", \"image\"]\nmatch.severity = \"high\"\n")
	owner := f.engine.Run(t, testenv.ContainerOptions{Name: "owner"})
	targets := []string{
		owner,
		f.engine.Run(t, testenv.ContainerOptions{Name: "labelled", Labels: map[string]string{"ironpost.protected": ""}}),
		f.engine.Run(t, testenv.ContainerOptions{Name: "core-db"}),
	}
	f.engine.Run(t, testenv.ContainerOptions{Name: "side", Network: "container:" + owner, Labels: map[string]string{"ironpost.protected": "true"}})
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= 4 })
	addresses := map[string]string{}
	for _, id := range targets {
		c, _, err := f.docker.Inspect(t.Context(), id)
		require.NoError(t, err)
		addresses[id] = c.Networks[0].IPv4.String()
	}
	names := map[string]string{targets[0]: "owner", targets[1]: "labelled", targets[2]: "core-db"}
	for range 10 {
		var batch []*event.Alert
		for range 100 {
			id := targets[rand.IntN(len(targets))]
			batch = append(batch, f.alert(func(a *event.Alert) {
				switch rand.IntN(4) {
				case 0:
					byID(id)(a)
				case 1:
					a.Container = &event.Container{Name: names[id]}
				case 2:
					a.Source = &event.Endpoint{IP: addresses[id]}
				case 3:
					a.Container = &event.Container{Image: testenv.DockerImage}
				}
			}))
		}
		f.publish(batch...)
	}
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "alerts") >= 1000 })
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "skipped") >= 2000 })
	orders := f.counter(bus.ContainerGuard, "orders")
	t.Logf("1,000 hostile alerts: %d orders, %d paused (bar 0)", orders, f.paused())
	require.Zero(t, orders)
	require.Zero(t, f.paused())

	victim := f.engine.Run(t, testenv.ContainerOptions{Name: "victim"})
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "containers") >= 5 })
	for range 100 {
		var batch []*event.Alert
		for range 100 {
			batch = append(batch, f.alert(byID(victim)))
		}
		f.publish(batch...)
	}
	f.eventually(func() bool { return f.counter(bus.ContainerGuard, "alerts") >= 11_000 })
	f.eventually(func() bool { return f.quarantined()[victim].State == "held" })
	done := 0
	for line := range strings.Lines(f.ironpost("actions", "--json", "--limit", "0", "--phase", "done", "--kind", "isolate")) {
		if strings.Contains(line, victim) {
			done++
		}
	}
	t.Logf("10,000 alerts naming one container: %d isolations (bar 1)", done)
	require.Equal(t, 1, done)
}
