//go:build accept && linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// Long runs of the quarantine, part of `make accept-container-guard`.

const (
	rounds      = 100
	undoings    = 10              // of each way to undo a quarantine
	heldAgainIn = 1 * time.Second // after the start or connect event
)

const noPolicies = "[[policy]]\nid = \"none\"\nactions = [\"isolate\"]\nmatch.severity = \"critical\"\n"

// isolate asks for a container as an operator does, and waits until it is held.
func (f *field) isolate(id string) containerguard.Quarantined {
	f.t.Helper()
	var reply any
	f.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: id, Force: true}, &reply)
	var h containerguard.Quarantined
	f.eventually(func() bool { h = f.held()[id]; return h.State == "held" })
	return h
}

func (f *field) release(id string) {
	f.t.Helper()
	var reply containerguard.ReleaseReply
	f.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id}, &reply)
	f.eventually(func() bool { _, is := f.held()[id]; return !is })
}

func (f *field) inspect(id string) docker.Container {
	f.t.Helper()
	c, _, err := f.docker.Inspect(f.t.Context(), id)
	require.NoError(f.t, err)
	return c
}

// isolated tells whether a container is as an isolation leaves it.
func isolated(c docker.Container) bool {
	return (c.Paused || !c.Running) && len(c.Networks) == 0 && c.RestartPolicy.Name == "no"
}

// talker is a client with a session to a server over TCP, which it opens again
// when it breaks. The server writes the number of the connection with each line.
type talker struct{ server, client string }

func (f *field) talker(network string) talker {
	f.t.Helper()
	var t talker
	t.server = f.engine.Run(f.t, testenv.ContainerOptions{Network: network, Cmd: []string{"/bin/nc", "-ll", "-p", "9", "-e", "/bin/sh", "-c", "while read l; do echo $$ >>/proc/1/fd/1; done"}})
	address := f.inspect(t.server).Networks[0].IPv4
	script := fmt.Sprintf("while :; do (while :; do echo tick; usleep 20000; done) | nc %s 9; usleep 20000; done", address)
	t.client = f.engine.Run(f.t, testenv.ContainerOptions{
		Name: "talker", Network: network, Restart: "always", Cmd: []string{"/bin/sh", "-c", script}, Publish: map[string]string{"80/tcp": "127.0.0.1:8080"},
		Endpoint: map[string]any{"Aliases": []string{"www"}, "IPAMConfig": map[string]any{"IPv4Address": "10.90.0.90"}},
	})
	return t
}

// connections counts what each connection has said since then.
func (f *field) connections(server string, since time.Time) map[string]int {
	f.t.Helper()
	out := map[string]int{}
	require.NoError(f.t, f.docker.Logs(f.t.Context(), server, docker.LogOptions{Since: since}, func(l docker.LogLine) error {
		out[string(l.Text)]++
		return nil
	}))
	return out
}

// asBefore is what a round must give back: everything but the ids of endpoints.
func asBefore(c docker.Container) docker.Container {
	for i := range c.Networks {
		c.Networks[i].ID = ""
	}
	return c
}

// TestAcceptGuardRounds: isolated and released again and again, a container that
// keeps a TCP session never resumes it, and is otherwise as it was.
func TestAcceptGuardRounds(t *testing.T) {
	f := newField(t, wideCaps, noPolicies)
	f.engine.Network(t, "front", "10.90.0.0/24")
	back := f.engine.Network(t, "back", "")
	session := f.talker("front")
	f.engine.Do(t, "POST", "/networks/"+back+"/connect", map[string]any{"Container": session.client, "EndpointConfig": map[string]any{"Aliases": []string{"db"}}}, nil)
	f.eventually(func() bool { return len(f.connections(session.server, time.Time{})) > 0 })
	before := f.inspect(session.client)
	resumed, different := 0, 0
	old := map[string]bool{}
	for range rounds {
		f.isolate(session.client)
		require.True(t, isolated(f.inspect(session.client)))
		released := time.Now()
		for number := range f.connections(session.server, time.Time{}) {
			old[number] = true
		}
		f.release(session.client)
		f.eventually(func() bool {
			for number := range f.connections(session.server, released) {
				if !old[number] {
					return true
				}
			}
			return false
		})
		for number, lines := range f.connections(session.server, released) {
			if old[number] {
				resumed++
				t.Logf("connection %s said %d lines more", number, lines)
			}
		}
		if after := f.inspect(session.client); !assertEqual(t, asBefore(before), asBefore(after)) {
			different++
		}
	}
	t.Logf("%d rounds: %d sessions resumed (bar 0), %d times not as before (bar 0)", rounds, resumed, different)
	require.Zero(t, resumed)
	require.Zero(t, different)
}

func assertEqual(t *testing.T, want, got docker.Container) bool {
	t.Helper()
	w, err := json.Marshal(want)
	require.NoError(t, err)
	g, err := json.Marshal(got)
	require.NoError(t, err)
	if string(w) != string(g) {
		t.Logf("was %s\n is %s", w, g)
	}
	return string(w) == string(g)
}

// TestAcceptGuardOrderLatency: an order to the quarantine alone, without a bus,
// beside the bare API of the same run.
func TestAcceptGuardOrderLatency(t *testing.T) {
	d := testenv.Dockerd(t)
	client, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	m, err := quarantine.Open(quarantine.Options{Docker: client, DataDir: t.TempDir(), Host: "accept", Report: func(context.Context, event.Action) {}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	var ids []string
	for range accepted {
		ids = append(ids, d.Run(t, testenv.ContainerOptions{}))
	}
	f := &field{stage: &stage{t: t}, engine: d, docker: client}
	var barePause, bareBoth, frozen, held []time.Duration
	for round := range 4 {
		for i, id := range ids { // in turn, so that both have the same neighbours
			pause, both := f.bare(id)
			barePause, bareBoth = append(barePause, pause), append(bareBoth, both)
			began := time.Now()
			require.NoError(t, m.Apply(t.Context(), quarantine.Order{
				ActionID: fmt.Sprintf("a%d-%d", round, i), Kind: quarantine.Isolate, Container: docker.Container{ID: id}, TraceID: strings.Repeat("ab", 16),
			}))
			e, is := m.Get(id)
			require.True(t, is && e.State == quarantine.Held)
			frozen, held = append(frozen, e.FrozenAt.Sub(began)), append(held, e.HeldAt.Sub(began))
		}
		for _, id := range ids {
			require.NoError(t, m.Release(t.Context(), id, "next round"))
		}
	}
	t.Logf("bare pause:              %s", said(barePause))
	t.Logf("order → frozen:          %s (bar: p99 ≤ %v)", said(frozen), percentile(barePause, 0.99)+25*time.Millisecond)
	t.Logf("bare pause + disconnect: %s", said(bareBoth))
	t.Logf("order → isolated:        %s (bar: p99 ≤ %v)", said(held), percentile(bareBoth, 0.99)+50*time.Millisecond)
	require.LessOrEqual(t, percentile(frozen, 0.99), percentile(barePause, 0.99)+25*time.Millisecond)
	require.LessOrEqual(t, percentile(held, 0.99), percentile(bareBoth, 0.99)+50*time.Millisecond)
}
