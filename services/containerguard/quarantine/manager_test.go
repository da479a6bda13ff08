package quarantine_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// guard is a Manager with an inventory on a private dockerd.
type guard struct {
	docker  *testenv.Docker
	client  *docker.Client
	manager *quarantine.Manager
	dir     string

	mu      sync.Mutex
	actions []event.Action
}

func newGuard(t *testing.T, dockerd *testenv.Docker, change func(*quarantine.Options)) *guard {
	t.Helper()
	g := &guard{docker: dockerd, dir: t.TempDir()}
	var err error
	g.client, err = docker.Connect(dockerd.Socket)
	require.NoError(t, err)
	t.Cleanup(g.client.Close)
	log, logged := test.NewNullLogger()
	t.Cleanup(func() {
		for _, e := range logged.AllEntries() {
			require.NotContains(t, e.Message, "state change that is not in the table", "%v", e.Data)
		}
	})
	o := quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Log: log, Report: g.report}
	if change != nil {
		change(&o)
	}
	g.manager, err = quarantine.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.manager.Close()) })
	return g
}

func (g *guard) report(_ context.Context, a event.Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.actions = append(g.actions, a)
}

// run starts the inventory and Manager.Run, and stops them when the test ends.
func (g *guard) run(t *testing.T) *inventory.Inventory {
	t.Helper()
	v := inventory.New(inventory.Options{Docker: g.client, PollInterval: time.Second})
	v.OnChange(g.manager.Observe)
	ctx, cancel := context.WithCancel(t.Context())
	group := task.New(ctx)
	group.Go("inventory", v.Run)
	group.Go("manager", g.manager.Run)
	t.Cleanup(func() { cancel(); require.NoError(t, group.Wait()) })
	require.Eventually(t, func() bool { return v.StaleReason() == "" }, 20*time.Second, 10*time.Millisecond)
	return v
}

func (g *guard) inspect(t *testing.T, id string) docker.Container {
	t.Helper()
	c, _, err := g.client.Inspect(t.Context(), id)
	require.NoError(t, err)
	return c
}

func (g *guard) order(id string, kind quarantine.Kind) quarantine.Order {
	return quarantine.Order{
		ActionID: "act-" + string(kind) + "-" + id[:8], Kind: kind, Container: docker.Container{ID: id}, Policy: "p", AlertID: "a",
		TraceID: strings.Repeat("ab", 16), Reason: "because",
	}
}

// release releases a container and returns the differences.
func (g *guard) release(t *testing.T, id string) []string {
	t.Helper()
	differences, err := g.manager.Release(t.Context(), id, "all clear", "")
	require.NoError(t, err)
	return differences
}

func (g *guard) phases() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, a := range g.actions {
		out = append(out, a.Kind+" "+string(a.Phase))
	}
	return out
}

func (g *guard) isolated(t *testing.T, id string) bool {
	t.Helper()
	c := g.inspect(t, id)
	return (c.Paused || !c.Running) && len(c.Networks) == 0 && c.RestartPolicy.Name == "no"
}

func TestReleaseRestoresEverything(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "10.77.0.0/24")
	back := d.Network(t, "back", "")
	id := d.Run(t, testenv.ContainerOptions{
		Name: "web", Network: "shop", Restart: "always", Publish: map[string]string{"80/tcp": "127.0.0.1:8080"},
		Endpoint: map[string]any{"Aliases": []string{"www"}, "IPAMConfig": map[string]any{"IPv4Address": "10.77.0.9"}},
		Cmd:      []string{"/bin/sh", "-c", "echo started; touch /tmp/new; exec sleep 3600"},
	})
	d.Do(t, "POST", "/networks/"+back+"/connect", map[string]any{"Container": id, "EndpointConfig": map[string]any{"Aliases": []string{"db"}}}, nil)
	g := newGuard(t, d, nil)
	require.Eventually(t, func() bool { return strings.Contains(d.Logs(t, id), "started") }, 10*time.Second, 10*time.Millisecond)
	before := g.inspect(t, id)

	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	require.True(t, g.isolated(t, id))
	e, held := g.manager.Get(id)
	require.True(t, held)
	require.Equal(t, quarantine.Held, e.State)
	require.Equal(t, []string{"isolate intended", "pause done", "disconnect done", "isolate done"}, g.phases())
	for _, a := range g.actions {
		require.NoError(t, a.Validate())
	}
	m := manifest(t, g.dir, "act-isolate-"+id[:8])
	require.False(t, m.Partial, "%+v", m)
	require.Len(t, m.Pieces, 7)
	for _, p := range m.Pieces {
		require.False(t, p.Taken.Before(m.FrozenAt.Truncate(time.Microsecond)), "%s was taken before the freeze", p.File)
	}
	require.Contains(t, evidence(t, g.dir, "act-isolate-"+id[:8], "changes.json"), "/tmp/new")
	require.Contains(t, evidence(t, g.dir, "act-isolate-"+id[:8], "logs.jsonl"), "started")
	require.Contains(t, evidence(t, g.dir, "act-isolate-"+id[:8], "top.json"), "sleep 3600")
	require.Contains(t, evidence(t, g.dir, "act-isolate-"+id[:8], "inspect.json"), `"IPv4Address":"10.77.0.9"`)

	g.release(t, id)
	require.Empty(t, g.manager.List())
	after := g.inspect(t, id)
	require.Equal(t, restorable(before), restorable(after))
	require.Equal(t, before.PID, after.PID, "the process was not restarted")
	require.Equal(t, "release released", g.phases()[4])
	require.Equal(t, "all clear", g.actions[4].Reason)
	require.Empty(t, g.actions[4].Error)

	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)), "an order that was released is not applied again")
	require.False(t, g.inspect(t, id).Paused)
}

// restorable returns what a release must restore: everything but the endpoints' ids.
func restorable(c docker.Container) docker.Container {
	for i := range c.Networks {
		c.Networks[i].ID = ""
	}
	return c
}
