package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// A container of an edge is attacked from another host. The edge isolates it and drops the
// attacker's packets in its kernel; the hub has the alert and the actions, each once, and does nothing itself.
func TestWebShellOnAnEdge(t *testing.T) {
	t.Parallel()
	l := newEdgeLab(t, 2)
	engine := testenv.Dockerd(t)
	policies := stackPolicies(t)
	for _, s := range []*instance{l.hub, l.edges[0], l.edges[1]} {
		socket := s.path("no.sock")
		if s == l.edges[0] {
			socket = engine.Socket
			s.replace(`sources = ["syslog", "file"]`, `sources = ["docker"]`)
		}
		s.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\nblock_private = true\ndocker_socket = %q\npolicy_path = %q\n", socket, policies))
	}
	shop := engine.Run(t, testenv.ContainerOptions{
		Name: "shop", Cmd: []string{"/bin/sh", "-c", "mkfifo /log; while true; do cat /log; done"},
	})
	l.startAll()
	edge := l.edges[0]
	edge.eventually(func() bool { return edge.counter(bus.ContainerGuard, "containers") == 1 })
	for member := range 3 {
		l.hub.eventually(func() bool { return l.pings(intruder, member) })
	}

	line := fmt.Sprintf(`%s - - [%s] "GET /uploads/x.php?cmd=id HTTP/1.1" 200 57 "-" "curl/8"`, intruder, time.Now().Format("02/Jan/2006:15:04:05 -0700"))
	engine.Exec(t, shop, "/bin/sh", "-c", "until [ -p /log ]; do sleep 0.01; done; cat > /log <<'END'\n"+line+"\nEND")
	edge.eventually(func() bool { return strings.Contains(edge.ironpost("quarantine", "list"), "held") })
	client, err := docker.Connect(engine.Socket)
	require.NoError(t, err)
	defer client.Close()
	c, _, err := client.Inspect(t.Context(), shop)
	require.NoError(t, err)
	require.True(t, c.Paused)
	require.Empty(t, c.Networks)
	edge.eventually(func() bool { return !l.pings(intruder, 1) })
	require.True(t, l.pings(intruder, 0), "a block of an edge is its own")
	require.True(t, l.pings(intruder, 2), "a block of an edge is its own")

	l.requireSame(0, 1, waitLimit)
	l.hub.eventually(func() bool { return len(l.hub.actions()) == len(edge.actions()) && doneOnce(l.hub.actions()) })
	require.Len(t, l.hub.alerts(), 1)
	require.Equal(t, edgeName(0), l.hub.alerts()[0].Host)
	for _, a := range l.hub.actions() {
		require.Equal(t, edgeName(0), a.Host)
	}
	require.Empty(t, l.edges[1].actions())
}

// doneOnce reports whether one container was isolated and one source blocked.
func doneOnce(actions map[string]event.Action) bool {
	done := map[string]int{}
	for _, a := range actions {
		if a.Phase == event.Done {
			done[a.Kind]++
		}
	}
	return done["isolate"] == 1 && done["block-source"] == 1
}
