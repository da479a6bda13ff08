package quarantine_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// within is how soon an undone quarantine must be in place again.
const within = time.Second

func TestQuarantineIsAppliedAgain(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	shop := d.Network(t, "shop", "")
	g := newGuard(t, d, nil)
	g.run(t)
	labels := map[string]string{"com.docker.compose.project": "p", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1"}
	web := testenv.ContainerOptions{Name: "web", Network: "shop", Restart: "always", Labels: labels}
	id := d.Run(t, web)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.True(t, g.isolated(t, id))

	undo := map[string]func(t *testing.T) string{
		"a person reconnects it": func(t *testing.T) string {
			d.Do(t, "POST", "/networks/"+shop+"/connect", map[string]string{"Container": id}, nil)
			return id
		},
		"a person thaws it": func(t *testing.T) string {
			d.Do(t, "POST", "/containers/"+id+"/unpause", nil, nil)
			return id
		},
		"a person changes the restart policy": func(t *testing.T) string {
			d.Do(t, "POST", "/containers/"+id+"/update", map[string]any{"RestartPolicy": map[string]string{"Name": "always"}}, nil)
			return id
		},
		"a person restarts it": func(t *testing.T) string {
			d.Do(t, "POST", "/containers/"+id+"/restart?t=0", nil, nil)
			return id
		},
	}
	for name, do := range undo {
		t.Run(name, func(t *testing.T) {
			target := do(t)
			done := time.Now()
			require.Eventually(t, func() bool { return g.isolated(t, target) }, within, 5*time.Millisecond)
			t.Logf("held again after %v", time.Since(done))
		})
	}
	t.Run("compose makes it anew", func(t *testing.T) {
		d.Remove(t, id)
		again := d.Create(t, web)
		d.Do(t, "POST", "/containers/"+again+"/start", nil, nil)
		require.Eventually(t, func() bool { return g.isolated(t, again) }, within, 5*time.Millisecond)
		require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
		require.Empty(t, g.manager.List(), "who releases the old one releases the new one")
		c := g.inspect(t, again)
		require.True(t, c.Running)
		require.False(t, c.Paused)
		require.Len(t, c.Networks, 1)
		require.Equal(t, "always", c.RestartPolicy.Name)
	})
}

func TestQuarantineOutlivesTheEngine(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "")
	g := newGuard(t, d, nil)
	g.run(t)
	id := d.Run(t, testenv.ContainerOptions{Network: "shop", Restart: "always"})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	for i, end := range []func(testing.TB){d.Kill, d.Stop} {
		end(t)
		require.NoError(t, g.manager.Apply(t.Context(), later(g.order(id, quarantine.Isolate), i)), "an order while the engine is away is kept")
		d.Start(t)
		require.Eventually(t, func() bool { return g.isolated(t, id) }, 10*time.Second, 10*time.Millisecond)
		for range 100 {
			require.True(t, g.isolated(t, id), "and it stays so")
		}
	}
	d.Do(t, "POST", "/containers/"+id+"/start", nil, nil)
	require.Eventually(t, func() bool { return g.isolated(t, id) }, within, 5*time.Millisecond)
	require.NoError(t, g.manager.Release(t.Context(), id, "all clear"))
	c := g.inspect(t, id)
	require.True(t, c.Running && !c.Paused && len(c.Networks) == 1, "%+v", c)
}

func later(o quarantine.Order, n int) quarantine.Order {
	o.ActionID += "-" + strconv.Itoa(n)
	return o
}

func TestReleaseEndsOldSessions(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "10.78.0.0/24")
	for name, restart := range map[string]bool{"connections destroyed": false, "container restarted": true} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(t, d, func(o *quarantine.Options) { o.RestartOnRelease = restart })
			s := newSession(t, d)
			require.NoError(t, g.manager.Apply(t.Context(), g.order(s.client, quarantine.Isolate)))
			s.mark(t)
			require.NoError(t, g.manager.Release(t.Context(), s.client, "all clear"))
			require.False(t, g.inspect(t, s.client).Paused)
			s.requireNewSessionOnly(t)
		})
	}
}

// session is a client that talks to a server all the time, over one connection
// as long as that lasts. The server writes what each connection says to its log,
// with the connection's own number before it.
type session struct {
	d              *testenv.Docker
	server, client string
	number         string // of the newest connection before the mark
	lines          int    // heard on it by then
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

// newest returns the newest connection's number and how many lines it has said.
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

// requireNewSessionOnly waits for the client's next connection and sees that the
// old one has said nothing more.
func (s *session) requireNewSessionOnly(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { number, n := s.newest(t); return number != s.number && n > 3 }, 20*time.Second, 20*time.Millisecond)
	lines := strings.Split(strings.TrimSpace(s.d.Logs(t, s.server)), "\n")
	require.Equal(t, s.lines, s.count(lines, s.number), "the old session went on")
}
