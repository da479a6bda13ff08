package docker_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// connectThroughProxy returns a client whose calls pass a proxy with the rules.
func connectThroughProxy(t *testing.T, d *testenv.Docker, rules []docker.Rule) (*testenv.DockerProxy, *docker.Client) {
	t.Helper()
	p := d.Proxy(t, rules)
	c, err := docker.Connect(p.Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return p, c
}

// callEverything calls every method, as the guard would.
func callEverything(t *testing.T, d *testenv.Docker, c *docker.Client) {
	t.Helper()
	ctx := t.Context()
	network := d.Network(t, "shop", "")
	require.NoError(t, c.Ping(ctx))
	v, err := c.Version(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, v.Server)
	began := time.Now()
	watch, stop := context.WithCancel(ctx)
	events, watched, ready := make(chan docker.Event, 256), make(chan error, 1), make(chan struct{})
	go func() {
		watched <- c.Events(watch, time.Time{}, func() { close(ready) }, func(e docker.Event) error { events <- e; return nil })
	}()
	<-ready
	id := d.Run(t, testenv.ContainerOptions{Name: "web", Network: "shop", Labels: map[string]string{"team": "shop"}, Cmd: []string{"/bin/sh", "-c", "echo hello; echo trouble >&2; exec sleep 3600"}})

	all, err := c.List(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	was, raw, err := c.Inspect(ctx, id)
	require.NoError(t, err)
	require.Contains(t, string(raw), id)
	require.Equal(t, []string{all[0].ID, all[0].Name, all[0].Networks[0].ID}, []string{was.ID, was.Name, was.Networks[0].ID})
	require.True(t, was.Networks[0].IPv4.IsValid())
	require.Equal(t, network, was.Networks[0].NetworkID)

	require.NoError(t, c.Pause(ctx, id))
	require.ErrorIs(t, c.Pause(ctx, id), docker.ErrAlready)
	rows, err := c.Top(ctx, id)
	require.NoError(t, err)
	require.Equal(t, "sleep 3600", rows[0]["CMD"])
	_, err = c.Diff(ctx, id)
	require.NoError(t, err)
	require.NoError(t, c.Disconnect(ctx, network, id))
	require.ErrorIs(t, c.Disconnect(ctx, network, id), docker.ErrNotConnected)
	require.NoError(t, c.Connect(ctx, network, id, was.Networks[0]))
	require.ErrorIs(t, c.Connect(ctx, network, id, was.Networks[0]), docker.ErrAlready)
	require.NoError(t, c.SetRestartPolicy(ctx, id, docker.RestartPolicy{Name: "always"}))
	require.NoError(t, c.Unpause(ctx, id))
	require.ErrorIs(t, c.Unpause(ctx, id), docker.ErrNotPaused)
	require.NoError(t, c.SetRestartPolicy(ctx, id, docker.RestartPolicy{Name: "no"}))
	require.NoError(t, c.Kill(ctx, id))
	require.Eventually(t, func() bool { now, _, err := c.Inspect(ctx, id); return err == nil && !now.Running }, 5*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, c.Kill(ctx, id), docker.ErrConflict)
	require.ErrorIs(t, c.Pause(ctx, id), docker.ErrConflict)
	require.NoError(t, c.Restart(ctx, id))

	requireEvents(t, events, "create", "connect", "start", "pause", "disconnect", "update", "unpause", "kill", "die", "restart")
	stop()
	require.ErrorIs(t, <-watched, context.Canceled)
	past, err := c.PastEvents(ctx, began, time.Now())
	require.NoError(t, err)
	require.Equal(t, "create", past[0].Action)
	require.Equal(t, "web", past[0].Name)

	var lines []string
	require.NoError(t, c.Logs(ctx, id, docker.LogOptions{}, func(l docker.LogLine) error {
		lines = append(lines, l.Stream+" "+string(l.Text))
		return nil
	}))
	require.Subset(t, lines, []string{"stdout hello", "stderr trouble"})
	unknown := strings.Repeat("0", 64)
	require.ErrorIs(t, c.Pause(ctx, unknown), docker.ErrNotFound)
	require.ErrorIs(t, c.Disconnect(ctx, network, unknown), docker.ErrNotFound)
	require.ErrorIs(t, c.Disconnect(ctx, unknown, id), docker.ErrNotFound)
}

// requireEvents waits until each action was seen, in any order.
func requireEvents(t *testing.T, events <-chan docker.Event, actions ...string) {
	t.Helper()
	missing := map[string]bool{}
	for _, a := range actions {
		missing[a] = true
	}
	timeout := time.After(10 * time.Second)
	for len(missing) > 0 {
		select {
		case e := <-events:
			delete(missing, e.Action)
		case <-timeout:
			require.Empty(t, missing)
		}
	}
}

func TestEveryCallIsListedAndAllowed(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	p, c := connectThroughProxy(t, d, docker.Allow())
	callEverything(t, d, c)
	seen, denied := p.Calls()
	require.Empty(t, denied)
	listed := map[string]bool{}
	for _, call := range docker.Calls() {
		if call.Feature != docker.FeatureImages {
			listed[call.Method+" "+call.Path] = true
		}
	}
	delete(listed, "GET /_ping") // only where HEAD is refused
	require.Equal(t, listed, seen)
}

func TestPingUsesGETWhereHEADIsRefused(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	rules := docker.Allow(docker.FeatureInventory)
	p, c := connectThroughProxy(t, d, rules[1:])
	id := d.Run(t, testenv.ContainerOptions{})
	_, _, err := c.Inspect(t.Context(), id)
	require.NoError(t, err)
	seen, denied := p.Calls()
	require.True(t, seen["GET /_ping"])
	require.Equal(t, []string{"HEAD /_ping"}, denied)
	err = c.Pause(t.Context(), id)
	require.ErrorIs(t, err, docker.ErrForbidden, "a refusal of the proxy has its own class")
	require.False(t, docker.ClassOf(err).Retryable())
}

func TestClientSurvivesDockerRestart(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	c, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	for _, end := range []func(testing.TB){d.Kill, d.Stop} {
		ready := make(chan struct{})
		broken := make(chan error, 1)
		go func() {
			broken <- c.Events(t.Context(), time.Time{}, func() { close(ready) }, func(docker.Event) error { return nil })
		}()
		<-ready
		end(t)
		require.ErrorIs(t, <-broken, docker.ErrUnavailable)
		_, _, err := c.Inspect(t.Context(), id)
		require.ErrorIs(t, err, docker.ErrUnavailable)
		require.True(t, docker.ClassOf(err).Retryable())
		d.Start(t)
		now, _, err := c.Inspect(t.Context(), id)
		require.NoError(t, err, "the same client goes on")
		require.Equal(t, id, now.ID)
	}
}

func TestOnlyFullIDsAreAccepted(t *testing.T) {
	t.Parallel()
	c, err := docker.Connect("/nowhere/docker.sock")
	require.NoError(t, err)
	for _, id := range []string{"", "web", "0123456789ab", "../images", strings.Repeat("0", 63), strings.Repeat("0", 64) + "/start"} {
		require.ErrorIs(t, c.Pause(t.Context(), id), docker.ErrInvalid, "%q", id)
	}
	for _, network := range []string{"", "..", "a/b", "a b", "%2e"} {
		require.ErrorIs(t, c.Disconnect(t.Context(), network, strings.Repeat("0", 64)), docker.ErrInvalid, "%q", network)
	}
	require.ErrorIs(t, c.Pause(t.Context(), strings.Repeat("0", 64)), docker.ErrUnavailable)
	_, err = docker.Connect("relative/path")
	require.Error(t, err)
}

func TestCallsToHangingDockerEndInTime(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket) // accepts connections and answers nothing
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c, err := docker.Connect(socket)
	require.NoError(t, err)
	began := time.Now()
	var waiting sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			errs[i] = c.Ping(ctx)
		})
	}
	waiting.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.Less(t, time.Since(began), 5*time.Second)
}

func TestEndlessResponseIsRefused(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	endless := func(w http.ResponseWriter, prefix string) {
		_, err := w.Write([]byte(prefix))
		for chunk := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(bytes.Repeat([]byte("x"), len(chunk)))
		}
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/events"):
			endless(w, `{"Type":"`)
		default:
			endless(w, `[{"Id":"`)
		}
	}))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	c, err := docker.Connect(socket)
	require.NoError(t, err)
	c.SetMaxResponse(4 << 20) // a busy machine with the race detector takes longer than the budget for 64 MiB
	_, err = c.List(t.Context())
	require.ErrorIs(t, err, docker.ErrTooLarge)
	err = c.Events(t.Context(), time.Time{}, nil, func(docker.Event) error { return nil })
	require.ErrorIs(t, err, docker.ErrTooLarge)
	c.Close()
}

func TestDockerRemembersNothingFromBeforeItsStart(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	c, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	d.Run(t, testenv.ContainerOptions{Restart: "always"})
	before := time.Now()
	remembers, err := c.RemembersBefore(t.Context(), before)
	require.NoError(t, err)
	require.True(t, remembers)
	d.Stop(t)
	stopped := time.Now()
	d.Start(t)
	remembers, err = c.RemembersBefore(t.Context(), stopped)
	require.NoError(t, err)
	require.False(t, remembers)
}
