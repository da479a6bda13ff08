package quarantine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

func TestReleaseOfAutoRemoveContainerIsRefused(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g := newGuard(t, d, quarantine.RestartOnRelease)
	id := d.Run(t, testenv.ContainerOptions{Host: map[string]any{"AutoRemove": true}})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	g.release(t, id)
	c := g.inspect(t, id)
	require.True(t, c.Paused && len(c.Networks) == 0, "it stays isolated")
	e, held := g.manager.Get(id)
	require.True(t, held)
	require.Equal(t, quarantine.Partial, e.State)
	require.Equal(t, event.Failed, g.lastAction().Phase)
	require.Equal(t, "release", g.lastAction().Kind)
}

func TestReleaseRestoresAutomaticAddress(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "10.81.0.0/24")
	g := newGuard(t, d, nil)
	first := d.Run(t, testenv.ContainerOptions{Network: "shop"})
	second := d.Run(t, testenv.ContainerOptions{Network: "shop"})
	before := g.inspect(t, second)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(second, quarantine.Isolate)))
	d.Remove(t, first) // now Docker would give the second the first's address
	g.release(t, second)
	after := g.inspect(t, second)
	require.Equal(t, before.Networks[0].IPv4, after.Networks[0].IPv4)
	require.Equal(t, before.Networks[0].MAC, after.Networks[0].MAC)

	d.Network(t, "auto", "")
	third := d.Run(t, testenv.ContainerOptions{Network: "auto"})
	before = g.inspect(t, third)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(third, quarantine.Isolate)))
	other := d.Run(t, testenv.ContainerOptions{Network: "auto"})
	require.Equal(t, before.Networks[0].IPv4, g.inspect(t, other).Networks[0].IPv4, "another container has the address by now")
	g.release(t, third)
	after = g.inspect(t, third)
	require.Len(t, after.Networks, 1)
	require.NotEqual(t, before.Networks[0].IPv4, after.Networks[0].IPv4)
	require.Contains(t, g.lastAction().Reason, "address on auto was "+before.Networks[0].IPv4.String(), "the difference is reported")
}

func TestReleaseEndsOldConnections(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "10.78.0.0/24")
	for name, restart := range map[string]bool{"connections destroyed": false, "container restarted": true} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, d, func(o *quarantine.Options) {
				if restart {
					quarantine.RestartOnRelease(o)
				}
			})
			s := newSession(t, d)
			require.NoError(t, g.manager.Apply(t.Context(), g.order(s.client, quarantine.Isolate)))
			s.mark(t)
			differences := strings.Join(g.release(t, s.client), "; ")
			require.Equal(t, restart, strings.Contains(differences, quarantine.Restarted), differences)
			require.Equal(t, restart, strings.Contains(g.lastAction().Reason, quarantine.Restarted))
			require.False(t, g.inspect(t, s.client).Paused)
			s.requireNewConnection(t)
		})
	}
}

// session is a client that sends to a server all the time, over one connection as long
// as it lasts. The server logs each line with the number of its connection.
type session struct {
	d              *testenv.Docker
	server, client string
	number         string // of the newest connection before the mark
	lines          int    // received on it by then
}

func newSession(t *testing.T, d *testenv.Docker) *session {
	t.Helper()
	s := &session{d: d}
	s.server = d.Run(t, testenv.ContainerOptions{Network: "shop", Cmd: []string{"/bin/nc", "-ll", "-p", "9", "-e", "/bin/sh", "-c", "while read l; do echo $$ $l >>/proc/1/fd/1; done"}})
	address := containerAddress(t, d, s.server, "shop")
	script := "while :; do (n=0; while :; do echo tick $n; n=$((n+1)); usleep 20000; done) | nc " + address + " 9; usleep 50000; done"
	s.client = d.Run(t, testenv.ContainerOptions{Network: "shop", Restart: "always", Cmd: []string{"/bin/sh", "-c", script}})
	require.Eventually(t, func() bool { _, n := s.newest(t); return n > 10 }, 20*time.Second, 20*time.Millisecond)
	t.Cleanup(func() { d.Remove(t, s.client); d.Remove(t, s.server) })
	return s
}

func containerAddress(t *testing.T, d *testenv.Docker, id, network string) string {
	t.Helper()
	var c struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	d.Do(t, "GET", "/containers/"+id+"/json", nil, &c)
	return c.NetworkSettings.Networks[network].IPAddress
}

// newest returns the number of the newest connection and how many lines came over it.
func (s *session) newest(t *testing.T) (string, int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(s.d.Logs(t, s.server)), "\n")
	number, _, _ := strings.Cut(lines[len(lines)-1], " ")
	return number, s.count(lines, number)
}

func (s *session) count(lines []string, number string) int {
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, number+" ") {
			n++
		}
	}
	return n
}

func (s *session) mark(t *testing.T) { t.Helper(); s.number, s.lines = s.newest(t) }

// requireNewConnection waits for the client's next connection and checks that the old one did
// not go on: at most the two lines that the server was still writing at the mark.
func (s *session) requireNewConnection(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { number, n := s.newest(t); return number != s.number && n > 3 }, 20*time.Second, 20*time.Millisecond)
	lines := strings.Split(strings.TrimSpace(s.d.Logs(t, s.server)), "\n")
	require.LessOrEqual(t, s.count(lines, s.number), s.lines+2, "the old connection went on")
}
