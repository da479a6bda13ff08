package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// pings reports whether one of three packets from address is answered by the host called name.
func (l *edgeLab) pings(address string, member int) bool {
	l.t.Helper()
	args := inNamespace(l.ns(modulesHost), "ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-I", address, labAddress(member))
	return exec.Command(args[0], args[1:]...).Run() == nil
}

// A hub, two edges and a host with a lone module: lines become alerts and answers on the host they are about, and nowhere
// else; the hub has all of them, once; a block made on the hub holds in every kernel; the link shows no clear text.
func TestHubAndEdges(t *testing.T) {
	t.Parallel()
	l := newEdgeLab(t, 2)
	for _, s := range append([]*instance{l.hub}, l.edges...) {
		s.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n", s.path("no.sock"), s.path("policies.toml")))
		s.write("policies.toml", "[[policy]]\nid = \"told\"\nactions = [\"notify\"]\nmatch.severity = \"low\"\n")
	}
	capture := l.capture("hub-1")
	l.startAll()
	log := l.startLogPipeline()
	require.NoError(t, l.hub.daemon.Process.Signal(syscall.SIGHUP))

	l.edges[0].append([]byte(rootShell("mallory")))
	l.edges[1].append([]byte(rootShell("trudy")))
	l.hub.eventually(func() bool { return l.hub.moduleOn(bus.LogPipeline, modulesHost).Status == event.Healthy })
	require.NoError(t, os.WriteFile(log, []byte(rootShell("oscar")), 0o600))
	l.hub.append([]byte(rootShell("eve")))
	users := map[string]string{"mallory": edgeName(0), "trudy": edgeName(1), "oscar": modulesHost, "eve": "hub-1"}
	l.hub.eventually(func() bool { return len(l.hub.alerts()) == len(users) })
	byID := map[string]string{}
	for _, a := range l.hub.alerts() {
		byID[a.ID] = a.Host
		require.Equal(t, users[a.User], a.Host, a.User)
	}
	for n, s := range l.edges {
		require.Len(t, s.alerts(), 1, "the others' are not sent to an edge")
		l.requireSame(n, 1, waitLimit)
	}

	// Each guard answers its own host's alert: three of the hosts have one.
	l.hub.eventually(func() bool { return len(l.hub.actions()) >= len(users)-1 })
	answered := map[string]int{}
	for _, a := range l.hub.actions() {
		require.Equal(t, byID[a.AlertID], a.Host, "an alert of another host was acted on")
		answered[a.Host]++
	}
	require.Len(t, answered, len(users)-1)
	require.NotContains(t, answered, modulesHost, "it has no guard")

	// The status of the hub shows every host.
	for _, host := range []string{"hub-1", edgeName(0), edgeName(1), modulesHost} {
		require.Equal(t, event.Healthy, l.hub.moduleOn(bus.LogPipeline, host).Status, host)
	}
	require.NotRegexp(t, `branch-\d .*missing`, l.hub.ironpostAnyway("status"))

	l.requireBlocksOfTheHub()
	capture.requireNoClearText(append([]string{"mallory", "trudy", "ironpost.alerts", bus.HeaderEdgeSequence, "$JS.API", "Nats-Msg-Id"}, keys(byID)...))
}

// requireBlocksOfTheHub blocks on the hub and looks at the kernels of all daemons; blocks of an edge are its own.
func (l *edgeLab) requireBlocksOfTheHub() {
	l.t.Helper()
	reach := func(member int, want bool) {
		l.t.Helper()
		l.hub.eventually(func() bool { return l.pings(intruder, member) == want })
	}
	for member := range 3 {
		reach(member, true)
	}
	l.hub.ironpost("blocklist", "add", intruder, "--for", "1h")
	for member := range 3 {
		reach(member, false)
	}
	require.Contains(l.t, l.edges[0].ironpost("blocklist", "list"), "operator on the hub")
	require.ErrorContains(l.t, l.edges[0].try("blocklist", "del", intruder), "still blocked by the hub")
	l.edges[1].ironpost("blocklist", "add", intruder, "--for", "10m")
	l.hub.ironpost("blocklist", "del", intruder)
	reach(0, true)
	reach(1, true)
	reach(2, false)
	l.edges[1].ironpost("blocklist", "del", intruder)
	reach(2, true)
}

// The link of an edge is cut: the edge stores, and says what waits; the hub says which edge is silent. When the link is back
// the hub gets everything once, in order, and a block made meanwhile holds; one known before held all the time.
func TestEdgeIsCutOff(t *testing.T) {
	t.Parallel()
	l := newEdgeLab(t, 1)
	edge := l.edges[0]
	edge.enableEngine("")
	l.startAll()
	l.hub.ironpost("blocklist", "add", intruder, "--for", "1h")
	edge.eventually(func() bool { return !l.pings(intruder, 1) })

	for round, kill := range []func(){func() {}, edge.kill, l.hub.kill} {
		l.cut(edgeName(0))
		const lines = 40
		for n := range lines {
			edge.append([]byte(rootShell(fmt.Sprintf("user-%d-%d", round, n))))
		}
		edge.eventually(func() bool { return edge.counter(bus.Forwarder, "unsent_alerts") == lines })
		kill()
		if edge.daemon.ProcessState != nil {
			edge.start()
		}
		if l.hub.daemon.ProcessState != nil {
			l.hub.start()
		}
		edge.eventually(func() bool {
			return strings.Contains(strings.Join(edge.module(bus.Forwarder).Reasons, " "), fmt.Sprintf("waiting: %d of IRONPOST_ALERTS, the oldest since", lines))
		})
		l.hub.eventually(func() bool {
			return strings.Contains(strings.Join(l.hub.module("edges").Reasons, " "), "the edge branch-1 has not answered since")
		})
		require.False(t, l.pings(modulesHostAddress(l), 1), "the link is cut")
		first := l.hub.watchAlerts()
		healed := l.heal(edgeName(0))
		l.hub.eventually(func() bool { return first.Load() != 0 })
		t.Logf("catch-up began %s after the link was back (bar 5 s on an idle machine)", time.Unix(0, first.Load()).Sub(healed).Round(time.Millisecond))
		l.requireSame(0, (round+1)*lines, waitLimit)
		edge.eventually(func() bool {
			return len(edge.module(bus.Forwarder).Reasons) == 0 && edge.counter(bus.Forwarder, "unsent_alerts") == 0
		})
		require.False(t, l.pings(intruder, 1), "still blocked")
	}
	l.hub.ironpost("blocklist", "del", intruder)
	edge.eventually(func() bool { return l.pings(intruder, 1) })
}

func modulesHostAddress(l *edgeLab) string { return labAddress(len(l.members) - 1) }

// watchAlerts returns when the first alert from now on is stored, in nanoseconds; 0 until then.
func (s *instance) watchAlerts() *atomic.Int64 {
	s.t.Helper()
	first, conn := &atomic.Int64{}, s.operator()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = conn.Follow(ctx, bus.RepublishedAlerts, func(string, map[string][]string, []byte) {
			first.CompareAndSwap(0, time.Now().UnixNano())
		})
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return first
}

// try runs the operator's command and returns its error.
func (s *instance) try(args ...string) error {
	s.t.Helper()
	out, err := s.operatorCommand(args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// ironpostAnyway returns the output whatever the exit code.
func (s *instance) ironpostAnyway(args ...string) string {
	s.t.Helper()
	out, _ := s.operatorCommand(args...).Output()
	return string(out)
}

func keys[V any](m map[string]V) []string {
	var out []string
	for key := range m {
		out = append(out, key)
	}
	return out
}
