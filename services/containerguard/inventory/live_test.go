package inventory_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
)

// live is an Inventory of a private dockerd.
type live struct {
	*inventory.Inventory
	docker *testenv.Docker
	client *docker.Client

	mu      sync.Mutex
	changes []inventory.Change
}

func newLive(t *testing.T, d *testenv.Docker) *live {
	t.Helper()
	return newLiveAt(t, d, d.Socket)
}

// newLiveAt is newLive through another socket of d.
func newLiveAt(t *testing.T, d *testenv.Docker, socket string) *live {
	t.Helper()
	client, err := docker.Connect(socket)
	require.NoError(t, err)
	v := &live{Inventory: inventory.New(inventory.Options{Docker: client, PollInterval: time.Minute}), docker: d, client: client}
	v.OnChange(func(c inventory.Change) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.changes = append(v.changes, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	group := task.New(ctx)
	group.Go("inventory", v.Run)
	t.Cleanup(func() { cancel(); require.NoError(t, group.Wait()); client.Close() })
	v.wait(t, func() bool { return v.StaleReason() == "" })
	return v
}

func (v *live) wait(t *testing.T, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, 5*time.Millisecond)
}

// saw reports whether a change with that action came.
func (v *live) saw(id, action string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.changes {
		if c.Container.ID == id && c.Action == action {
			return true
		}
	}
	return false
}

// hasEvent reports whether an event, not a list, showed a container. Which of its events
// did depends on how late they come.
func (v *live) hasEvent(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.changes, func(c inventory.Change) bool {
		return c.Container.ID == id && c.Action != "sync"
	})
}

// run starts a container and waits until the inventory has its address.
func (v *live) run(t *testing.T, o testenv.ContainerOptions) docker.Container {
	t.Helper()
	id := v.docker.Run(t, o)
	var c docker.Container
	v.wait(t, func() bool {
		found, err := v.ByID(id)
		c = found.Container
		return err == nil && c.Running && len(c.Networks) > 0
	})
	return c
}

// settled returns a time MinSlack after everything before the call and MinSlack before
// everything after it, when all events before have been received.
func settled(t *testing.T) time.Time {
	t.Helper()
	at := time.Now().Add(inventory.MinSlack + 10*time.Millisecond)
	timer := time.NewTimer(time.Until(at.Add(inventory.MinSlack + 10*time.Millisecond)))
	defer timer.Stop()
	<-timer.C
	return at
}

// certain returns a time at which address certainly has a container: a busy dockerd is
// late with the events that prove it.
func (v *live) certain(t *testing.T, address netip.Addr) time.Time {
	t.Helper()
	var at time.Time
	v.wait(t, func() bool {
		at = settled(t)
		_, err := v.ByAddress(t.Context(), address, at, 0)
		return err == nil
	})
	return at
}

func TestAddressNamesTheContainerThatHadItThen(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	v := newLive(t, d)
	first := v.run(t, testenv.ContainerOptions{Name: "first"})
	address := first.Networks[0].IPv4
	whenFirst := v.certain(t, address)
	d.Remove(t, first.ID)
	v.wait(t, func() bool { return v.saw(first.ID, "destroy") })
	second := v.run(t, testenv.ContainerOptions{Name: "second"})
	require.Equal(t, address, second.Networks[0].IPv4, "Docker gives the address to the next container")
	whenSecond := v.certain(t, address)

	found, err := v.ByAddress(t.Context(), address, whenFirst, 0)
	require.NoError(t, err)
	require.Equal(t, first.ID, found.Container.ID)
	require.True(t, found.Gone)
	found, err = v.ByAddress(t.Context(), address, whenSecond, 0)
	require.NoError(t, err)
	require.Equal(t, second.ID, found.Container.ID)
	require.False(t, found.Gone)
	_, err = v.ByAddress(t.Context(), address, whenSecond, time.Since(whenFirst))
	require.ErrorIs(t, err, inventory.ErrAmbiguous, "a time that inexact may mean either")
	_, err = v.ByAddress(t.Context(), address, first.Created.Add(-time.Hour), 0)
	require.ErrorIs(t, err, inventory.ErrUnknown)
	_, err = v.ByAddress(t.Context(), netip.MustParseAddr("192.0.2.1"), whenSecond, 0)
	require.ErrorIs(t, err, inventory.ErrUnknown)

	found, err = v.ByPID(t.Context(), second.PID, whenSecond, 0)
	require.NoError(t, err)
	require.Equal(t, second.ID, found.Container.ID)
	_, err = v.ByPID(t.Context(), second.PID, whenFirst, 0)
	require.Error(t, err, "it did not run then")
	_, err = v.ByPID(t.Context(), os.Getpid(), time.Now(), 0)
	require.Error(t, err, "this test runs in no container of that dockerd")

	d.Do(t, "POST", "/containers/"+second.ID+"/rename?name=third", nil, nil)
	v.wait(t, func() bool { return v.saw(second.ID, "rename") })
	renamed := settled(t)
	found, err = v.ByName(t.Context(), "second", whenSecond, 0)
	require.NoError(t, err)
	require.Equal(t, second.ID, found.Container.ID)
	_, err = v.ByName(t.Context(), "second", renamed, 0)
	require.Error(t, err)
	found, err = v.ByName(t.Context(), "third", renamed, 0)
	require.NoError(t, err)
	require.Equal(t, second.ID, found.Container.ID)
}

func TestInventorySurvivesDockerRestarts(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	v := newLive(t, d)
	before := v.run(t, testenv.ContainerOptions{Restart: "always"})
	at := settled(t)
	for _, end := range []func(testing.TB){d.Kill, d.Stop} {
		end(t)
		v.wait(t, func() bool { return v.StaleReason() != "" })
		_, err := v.ByAddress(t.Context(), before.Networks[0].IPv4, time.Now(), 0)
		require.Error(t, err, "which container has it now is not known")
		d.Start(t)
		v.wait(t, func() bool { return v.StaleReason() == "" })
		v.wait(t, func() bool { found, err := v.ByID(before.ID); return err == nil && found.Container.Running })
	}
	now := settled(t)
	found, err := v.ByID(before.ID)
	require.NoError(t, err)
	again, err := v.ByAddress(t.Context(), found.Container.Networks[0].IPv4, now, 0)
	require.NoError(t, err)
	require.Equal(t, before.ID, again.Container.ID)
	_, err = v.ByAddress(t.Context(), before.Networks[0].IPv4, at, 0)
	if err != nil { // the event that ended that time was lost
		require.ErrorIs(t, err, inventory.ErrUncertain)
	}
}

func TestShortLivedContainersAreKnown(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	v := newLive(t, d)
	var ids []string
	for i := range 15 {
		ids = append(ids, d.Run(t, testenv.ContainerOptions{Name: fmt.Sprint("short", i), Cmd: []string{"/bin/true"}, Host: map[string]any{"AutoRemove": true}}))
	}
	for _, id := range ids {
		v.wait(t, func() bool { return v.saw(id, "destroy") })
		found, err := v.ByID(id)
		require.NoError(t, err)
		require.True(t, found.Gone)
		require.NotEmpty(t, found.Container.Name)
	}
}

func TestContainersStartedBeforeTheGuardAreKnown(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	id := d.Run(t, testenv.ContainerOptions{})
	at := settled(t)
	v := newLive(t, d)
	c, err := v.ByID(id)
	require.NoError(t, err)
	found, err := v.ByAddress(t.Context(), c.Container.Networks[0].IPv4, at, 0)
	require.NoError(t, err, "the past events show that nothing happened since")
	require.Equal(t, id, found.Container.ID)
}

func TestRestartedDockerProvesNothing(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	id := d.Run(t, testenv.ContainerOptions{Name: "old", Restart: "always"})
	before := settled(t)
	d.Do(t, "POST", "/containers/"+id+"/rename?name=new", nil, nil)
	d.Stop(t)
	d.Start(t)
	v := newLive(t, d)
	after := settled(t)
	_, err := v.ByName(t.Context(), "new", before, 0)
	require.ErrorIs(t, err, inventory.ErrUncertain, "Docker has no events from before its restart")
	found, err := v.ByName(t.Context(), "new", after, 0)
	require.NoError(t, err)
	require.Equal(t, id, found.Container.ID)
}

func TestContainerKnownFromEventsOnlyIsNotNamed(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	rules := docker.Allow()
	for i := range rules {
		rules[i].Pattern = strings.ReplaceAll(rules[i].Pattern, "/containers/[0-9a-f]{64}/json", "/none")
	}
	v := newLiveAt(t, d, d.Proxy(t, rules).Socket)
	id := d.Run(t, testenv.ContainerOptions{Labels: map[string]string{"ironpost.protected": "true"}})
	var err error
	v.wait(t, func() bool {
		_, err = v.ByID(id)
		return !errors.Is(err, inventory.ErrUnknown)
	})
	require.Error(t, err, "its labels are not known")
	require.NotErrorIs(t, err, inventory.ErrUncertain, "a later lookup may name it")
}

func TestLongLabelsDoNotEndTheEvents(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	v := newLive(t, d)
	v.run(t, testenv.ContainerOptions{Labels: map[string]string{"long": strings.Repeat("<", 1<<20)}})
	next := v.run(t, testenv.ContainerOptions{})
	v.wait(t, func() bool { return v.hasEvent(next.ID) }) // the stream of events continues
	require.Empty(t, v.StaleReason())
}

func TestPanicEndsRun(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Run(t, testenv.ContainerOptions{Name: "web"})
	client, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	defer client.Close()
	v := inventory.New(inventory.Options{Docker: client, PollInterval: time.Minute})
	v.OnChange(func(inventory.Change) { panic("no such container") })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var panicked *task.PanicError
	require.ErrorAs(t, v.Run(ctx), &panicked)
	require.NotContains(t, v.StaleReason(), "Docker:", "the connection is not to blame")
}
