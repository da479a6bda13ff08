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
	rounds       = 100
	undoRounds   = 10              // for each way to undo a quarantine
	reapplyLimit = 1 * time.Second // after the start or connect event
)

const noPolicies = "[[policy]]\nid = \"none\"\nactions = [\"isolate\"]\nrequire.signs = 1\nmatch.severity = \"critical\"\n"

// isolate requests the isolation of a container as an operator, and waits for it.
func (f *guardSetup) isolate(id string) containerguard.Quarantined {
	f.t.Helper()
	var reply any
	f.request(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: id, Force: true}, &reply)
	var h containerguard.Quarantined
	f.eventually(func() bool { h = f.quarantined()[id]; return h.State == "held" })
	return h
}

func (f *guardSetup) release(id string) {
	f.t.Helper()
	var reply containerguard.ReleaseReply
	f.request(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: id}, &reply)
	f.eventually(func() bool { _, is := f.quarantined()[id]; return !is })
}

func (f *guardSetup) inspect(id string) docker.Container {
	f.t.Helper()
	c, _, err := f.docker.Inspect(f.t.Context(), id)
	require.NoError(f.t, err)
	return c
}

// isolated reports whether a container is paused or stopped, without networks and restarts.
func isolated(c docker.Container) bool {
	return (c.Paused || !c.Running) && len(c.Networks) == 0 && c.RestartPolicy.Name == "no"
}

// tcpSession is a client connected to a server over TCP; it reconnects when the session
// breaks. The server logs the number of the connection with each line.
type tcpSession struct{ server, client string }

func (f *guardSetup) newTCPSession(network string) tcpSession {
	f.t.Helper()
	var t tcpSession
	t.server = f.engine.Run(f.t, testenv.ContainerOptions{Network: network, Cmd: []string{"/bin/nc", "-ll", "-p", "9", "-e", "/bin/sh", "-c", "while read l; do echo $$ >>/proc/1/fd/1; done"}})
	address := f.inspect(t.server).Networks[0].IPv4
	script := fmt.Sprintf("while :; do (while :; do echo tick; usleep 20000; done) | nc %s 9; usleep 20000; done", address)
	t.client = f.engine.Run(f.t, testenv.ContainerOptions{
		Name: "talker", Network: network, Restart: "always", Cmd: []string{"/bin/sh", "-c", script}, Publish: map[string]string{"80/tcp": "127.0.0.1:8080"},
		Endpoint: map[string]any{"Aliases": []string{"www"}, "IPAMConfig": map[string]any{"IPv4Address": "10.90.0.90"}},
	})
	return t
}

// connections counts the lines that each connection has sent since then.
func (f *guardSetup) connections(server string, since time.Time) map[string]int {
	f.t.Helper()
	out := map[string]int{}
	require.NoError(f.t, f.docker.Logs(f.t.Context(), server, docker.LogOptions{Since: since}, func(l docker.LogLine) error {
		out[string(l.Text)]++
		return nil
	}))
	return out
}

// withoutEndpointIDs removes the only part of a container that a round may change.
func withoutEndpointIDs(c docker.Container) docker.Container {
	for i := range c.Networks {
		c.Networks[i].ID = ""
	}
	return c
}

// A container with a TCP session is isolated and released 100 times: it never resumes an
// old session, and is otherwise restored as it was.
func TestAcceptGuardRounds(t *testing.T) {
	f := newGuardSetup(t, wideCaps, noPolicies)
	f.engine.Network(t, "front", "10.90.0.0/24")
	back := f.engine.Network(t, "back", "")
	session := f.newTCPSession("front")
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
				t.Logf("connection %s sent %d more lines", number, lines)
			}
		}
		if after := f.inspect(session.client); !equalContainers(t, withoutEndpointIDs(before), withoutEndpointIDs(after)) {
			different++
		}
	}
	t.Logf("%d rounds: %d sessions resumed (bar 0), %d times not as before (bar 0)", rounds, resumed, different)
	require.Zero(t, resumed)
	require.Zero(t, different)
}

func equalContainers(t *testing.T, want, got docker.Container) bool {
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

// Measures an order to the quarantine package alone, without a bus, compared with the bare
// API in the same run.
func TestAcceptGuardOrderLatency(t *testing.T) {
	d := testenv.Dockerd(t)
	client, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	m, err := quarantine.Open(quarantine.Options{Docker: client, DataDir: t.TempDir(), Host: "accept", Report: func(context.Context, event.Action) {}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	var ids []string
	for range containerCount {
		ids = append(ids, d.Run(t, testenv.ContainerOptions{}))
	}
	f := &guardSetup{instance: &instance{t: t}, engine: d, docker: client}
	var barePause, bareBoth, frozen, held []time.Duration
	for round := range 4 {
		for i, id := range ids { // alternating: both run under the same load
			pause, both := f.measureBareAPI(id)
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
			_, err := m.Release(t.Context(), id, "next round", "")
			require.NoError(t, err)
		}
	}
	t.Logf("bare pause:              %s", summary(barePause))
	t.Logf("order → frozen:          %s (bar: p99 ≤ %v)", summary(frozen), percentile(barePause, 0.99)+25*time.Millisecond)
	t.Logf("bare pause + disconnect: %s", summary(bareBoth))
	t.Logf("order → isolated:        %s (bar: p99 ≤ %v)", summary(held), percentile(bareBoth, 0.99)+50*time.Millisecond)
	require.LessOrEqual(t, percentile(frozen, 0.99), percentile(barePause, 0.99)+25*time.Millisecond)
	require.LessOrEqual(t, percentile(held, 0.99), percentile(bareBoth, 0.99)+50*time.Millisecond)
}
