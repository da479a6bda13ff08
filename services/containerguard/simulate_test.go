package containerguard_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// plugInOnHost is a plug-in whose alerts may have the trust host.
const plugInOnHost = "plug-in"

var simulatedFrom = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// simulation returns a simulation of the policies in text, and a function that adds an alert some time after simulatedFrom.
func simulation(t testing.TB, text string, change func(*containerguard.Config)) (*containerguard.Simulation, func(time.Duration, func(*event.Alert))) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.toml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	set, err := policy.Load(file)
	require.NoError(t, err)
	cfg := containerguard.DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	s := containerguard.NewSimulation(containerguard.SimulationOptions{Config: cfg, Policies: set, Ceiling: func(_ context.Context, module, _ string) (event.Trust, error) {
		if module == plugInOnHost {
			return event.TrustHost, nil
		}
		return bus.ModuleCeiling(module), nil
	}})
	n := 0
	return s, func(after time.Duration, change func(*event.Alert)) {
		n++
		at := simulatedFrom.Add(after)
		a := &event.Alert{
			ID: fmt.Sprint("alert-", n), Time: at, FirstSeen: at, LastSeen: at, Count: 1, Module: bus.LogPipeline, Host: host, Severity: event.High,
			Title: "attack", Rule: event.Rule{ID: "r", Title: "r", Level: event.High}, DedupKey: fmt.Sprint("k", n), Trust: event.TrustKernel,
		}
		if change != nil {
			change(a)
		}
		require.NoError(t, s.Add(t.Context(), a, at))
	}
}

const isolateForAnHour = `[[policy]]
id = "p"
actions = ["isolate"]
require.signs = 1
ttl = "1h"
cooldown = "2h"
match.severity = "high"
`

// A later step counts when its time has come, unless the container was released before; what an operator is asked about does not.
func TestSimulatedStepsWait(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, `[[policy]]
id = "p"
match.severity = "high"
require.signs = 1
[[policy.step]]
actions = ["cut-egress"]
[[policy.step]]
actions = ["pause"]
after = "30s"
[[policy.step]]
actions = ["isolate"]
approve = true
`, nil)
	add(0, about(strings.Repeat("a", 64)))
	add(20*time.Second, func(a *event.Alert) { a.Severity = event.Low })
	outcomes := func() map[string]int { return s.Result().Outcomes }
	require.Equal(t, map[string]int{"act": 1, "waits": 2}, outcomes())
	require.NoError(t, s.Finish(t.Context(), simulatedFrom.Add(time.Minute)))
	require.Equal(t, map[string]int{"act": 2, "waits": 2}, outcomes())
	var paused containerguard.SimulatedStep
	for _, st := range s.Result().Steps {
		if st.Action == "pause" && st.Outcome == "act" {
			paused = st
		}
	}
	require.WithinDuration(t, simulatedFrom.Add(30*time.Second), paused.First, 2*time.Second)
}

// However late the second sign comes, and after however many updates, it stops the container; one from before a release does not.
func TestSimulatedSignComesAfterUpdates(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, `[[policy]]
id = "p"
actions = ["pause"]
ttl = "1m"
match.rules = ["shell"]
`, nil)
	of := func(id string, change func(*event.Alert)) func(*event.Alert) {
		return func(a *event.Alert) {
			a.Container, a.DedupKey, a.Trust = &event.Container{ID: id, Name: id[:1]}, id, event.TrustContainer
			change(a)
		}
	}
	shell := func(revision int) func(*event.Alert) {
		return func(a *event.Alert) {
			a.Rule.ID, a.Series, a.Revision, a.Update = "shell", "series-of-"+a.Container.ID, revision, revision > 0
		}
	}
	process := func(a *event.Alert) {
		a.Module, a.Trust, a.DedupKey = plugInOnHost, event.TrustHost, "process-"+a.Container.ID
	}
	paused := func() (names []string) {
		for _, st := range s.Result().Steps {
			if st.Outcome == "act" {
				names = append(names, slices.Repeat([]string{st.Container.Name}, st.Alerts)...)
			}
		}
		return names
	}
	updates := []time.Duration{0, 66 * time.Second, 5 * time.Minute, 12 * time.Minute, 19 * time.Minute}
	for n, name := range []string{"a", "b", "c", "d", "e"} {
		id := strings.Repeat(name, 64)
		began := time.Duration(n) * time.Hour
		for revision, at := range updates[:n+1] {
			add(began+at, of(id, shell(revision)))
		}
		add(began+updates[n]+30*time.Second, of(id, process))
		add(began+updates[n]+40*time.Second, func(a *event.Alert) { a.Severity = event.Low })
		require.Contains(t, paused(), name, "after %d updates", n)
	}
	id := strings.Repeat("e", 64)
	add(4*time.Hour+23*time.Minute, of(id, shell(0)))
	require.Len(t, paused(), 5, "its sign is older than its release")
}

// A container is released when its time is over, which ends its cooldown, so that the next alert isolates it again.
func TestSimulatedContainerIsReleasedInTime(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, isolateForAnHour, nil)
	web := func(a *event.Alert) { a.Container = &event.Container{ID: strings.Repeat("ab", 32), Name: "web"} }
	add(0, web)
	add(30*time.Minute, web)
	add(61*time.Minute, web)
	steps := s.Result().Steps
	require.Len(t, steps, 2)
	require.Equal(t, "act", steps[0].Outcome)
	require.Equal(t, 2, steps[0].Alerts)
	require.Equal(t, int64(7200), steps[0].Seconds)
	require.Equal(t, simulatedFrom.Add(121*time.Minute), steps[0].Until)
	require.Contains(t, steps[1].Reason, "already isolated since 2026-11-23T08:00:00Z by p")
}

// A container that an alert names without an id is not taken for another one.
func TestSimulatedContainersWithoutIDAreKeptApart(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, isolateForAnHour, nil)
	for _, name := range []string{"web", "api", "web"} {
		add(0, func(a *event.Alert) { a.Container = &event.Container{Name: name} })
	}
	require.Equal(t, map[string]int{"act": 2, "skip": 1}, s.Result().Outcomes)
	require.Equal(t, "container:api", s.Result().Steps[0].Target)
}

// An update with better evidence isolates the container that was only proposed; other updates are not answered.
func TestSimulatedUpdateIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, isolateForAnHour, nil)
	alert := func(trust event.Trust, update bool) {
		add(0, func(a *event.Alert) {
			a.Container, a.DedupKey = &event.Container{ID: strings.Repeat("ab", 32)}, "k"
			a.Trust, a.Update = trust, update
		})
	}
	alert(event.TrustUnproven, false)
	alert(event.TrustUnproven, true)
	alert(event.TrustHost, true)
	alert(event.TrustHost, true)
	require.Equal(t, map[string]int{"proposed": 1, "act": 1}, s.Result().Outcomes)
}

// Each host has a guard of its own, with its own caps, and a plug-in proves nothing.
func TestSimulatedHostsHaveCapsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, blockAll, func(c *containerguard.Config) { c.MaxBlocks = 1 })
	for i, h := range []string{"a", "a", "b"} {
		add(0, func(a *event.Alert) { from(fmt.Sprint("203.0.113.", i))(a); a.Host = h })
	}
	add(0, func(a *event.Alert) { from("203.0.113.9")(a); a.Module = "door" })
	got := s.Result()
	require.Equal(t, map[string]int{"act": 2, "skip": 1, "proposed": 1}, got.Outcomes)
	require.Equal(t, 3, got.Hosts)
	require.Equal(t, 1, got.OfPlugins)
}

const blockAll = `[[policy]]
id = "p"
actions = ["block-source"]
match.severity = "high"
`

// A block that gives way to a stronger one ends then.
func TestSimulatedBlockGivesWay(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, blockAll, func(c *containerguard.Config) { c.MaxBlocks = 1 })
	add(0, func(a *event.Alert) {
		from("203.0.113.1")(a)
		a.Trust, a.Container = event.TrustContainer, &event.Container{ID: strings.Repeat("ab", 32)}
	})
	add(10*time.Minute, from("203.0.113.2"))
	steps := s.Result().Steps
	require.Len(t, steps, 2)
	require.Equal(t, containerguard.SimulatedIfConnected, steps[0].Outcome)
	require.Equal(t, int64(600), steps[0].Seconds)
	require.Equal(t, simulatedFrom.Add(10*time.Minute), steps[0].Until)
	require.Equal(t, int64(3600), steps[1].Seconds)
}

// A block that a cap refused is made when there is room, as by the guard.
func TestSimulatedBlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, blockAll, func(c *containerguard.Config) { c.MaxBlocksPerMinute = 1 })
	add(0, from("203.0.113.1"))
	add(time.Second, from("203.0.113.2"))
	require.NoError(t, s.Finish(t.Context(), simulatedFrom.Add(time.Hour)))
	got := s.Result()
	require.Equal(t, map[string]int{"act": 2, "skip": 1}, got.Outcomes)
	require.WithinDuration(t, simulatedFrom.Add(time.Minute), got.Steps[2].First, 2*time.Second)
}

// Memory is bounded however many addresses, containers and hosts the alerts name; the rest is counted.
func TestSimulationIsBounded(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, `[[policy]]
id = "p"
actions = ["pause", "block-source"]
require.signs = 1
match.severity = "high"
`, nil)
	const alerts = 15_000
	for i := range alerts {
		add(time.Duration(i)*time.Millisecond*10, func(a *event.Alert) {
			from(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}).String())(a)
			a.Container = &event.Container{Name: fmt.Sprint("c", i)}
			a.Host = fmt.Sprint("h", i%300)
		})
	}
	got := s.Result()
	require.Equal(t, alerts, got.Alerts)
	require.Equal(t, alerts/300*50, got.OtherHosts)
	require.Len(t, got.Steps, 20_000)
	require.Equal(t, 2*alerts/300*250, got.Unlisted+sum(got.Steps))
}

func sum(steps []containerguard.SimulatedStep) (n int) {
	for _, s := range steps {
		n += s.Alerts
	}
	return n
}
