package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// simulated is a bus with alerts, and the path of policies for them.
func simulated(t *testing.T) (b *bustest.Bus, policies string) {
	t.Helper()
	policies = filepath.Join(t.TempDir(), "p.toml")
	require.NoError(t, os.WriteFile(policies, []byte(`[[policy]]
id = "respond"
actions = ["isolate", "block-source"]
require.signs = 1
ttl = "4h"
block_ttl = "90m"
match.severity = "high"
`), 0o600))
	b = bustest.New(t)
	now := time.Now().UTC()
	recent := func(id, ip, container string, trust event.Trust) *event.Alert {
		return alert(id, func(a *event.Alert) {
			a.Time, a.FirstSeen, a.LastSeen, a.DedupKey, a.Trust, a.Service = now, now, now, id, trust, "sshd"
			a.Source.IP = ip
			if container != "" {
				a.Container = &event.Container{ID: strings.Repeat(id, 64)[:64], Name: container}
			}
		})
	}
	publish(t, b, bus.LogPipeline, bus.Alerts,
		recent("a", "203.0.113.7", "web-1", event.TrustKernel),
		recent("b", "2001:db8::7", "\x1b[31mapi\u202e", event.TrustHost),
		recent("c", "203.0.113.8", "db", event.TrustUnproven),
		alert("d", func(a *event.Alert) { a.Severity = event.Low }),
	)
	return b, policies
}

// The tables say what would have been done, for how long and under which condition, and what not and why. No text of an
// alert reaches the terminal as it is, and lines fit into 80 columns.
func TestSimulationIsShown(t *testing.T) {
	b, policies := simulated(t)
	r := on(t, b, "policies", "simulate", "--path", policies)
	require.Equal(t, exitOK, r.code, r.err)
	_, rest, _ := strings.Cut(r.out, "\n") // the first line has the path
	acted, others, found := strings.Cut(rest, "What would not have been done")
	require.True(t, found, r.out)
	for line := range strings.Lines(acted) {
		require.LessOrEqual(t, displayWidth(strings.TrimSuffix(line, "\n")), 80, line)
	}
	require.Regexp(t, `(?m)^FIRST +CONTAINER +ACTION +FOR +ALERTS +POLICY\n\S+ \S+ +web-1 +isolate +4h +1 +respond$`, acted)
	require.Contains(t, acted, `\x1b[31mapi\u202e`)
	require.Regexp(t, `(?m) 203\.0\.113\.7 +1h30m +- +respond$`, acted)
	require.Regexp(t, `(?m) 2001:db8::7 +1h30m +if connected +respond$`, acted)
	require.Regexp(t, `(?m) 203\.0\.113\.8 +10m +if connected +respond$`, acted)
	require.Regexp(t, `(?m)^db +isolate +proposed +1 +respond +the alert is unproven: anyone may have written its line`, others)
	require.Contains(t, others, "No policy applies to 1 of the alerts.")
	require.Contains(t, others, "container.auto_isolate is false")
	require.NotContains(t, r.out, "\x1b")
	require.NotContains(t, r.out, "\u202e")

	r = on(t, b, "policies", "simulate", "--path", policies, "--limit", "1", "--running", "2")
	require.Contains(t, r.out, "… and 2 more: --limit 0, --json")
	require.NotContains(t, r.out, "--running")
	require.Contains(t, on(t, b, "policies", "simulate", "--path", policies, "--host", "other").out, "0 alerts, 1 policies of ")
}

// Each member of the JSON is described.
func TestSimulationInJSONIsDescribed(t *testing.T) {
	b, policies := simulated(t)
	r := on(t, b, "policies", "simulate", "--path", policies, "--json")
	require.Equal(t, exitOK, r.code, r.err)
	require.NotContains(t, r.out, "\x1b")
	var result map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.out), &result))
	page := read(t, "../../deploy/policies/README.md")
	steps, _ := result["steps"].([]any)
	require.Len(t, steps, 6)
	for _, s := range append(steps, result) {
		object, ok := s.(map[string]any)
		require.True(t, ok)
		for member := range object {
			require.Contains(t, page, "`"+member+"`")
		}
	}
	first, _ := steps[0].(map[string]any)
	require.Equal(t, "act", first["outcome"])
	require.Equal(t, map[string]any{"act": 3.0, "act_if_connected": 2.0, "proposed": 1.0}, result["outcomes"])
	require.InDelta(t, 1, result["unmatched"], 0)
}
