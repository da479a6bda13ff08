package attribution_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/attribution"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// recording is an Inventory of events and inspections that the test gives.
type recording struct{ *inventory.Core }

func (r recording) ByPID(_ context.Context, pid int, at time.Time, slack time.Duration) (inventory.Result, error) {
	return r.ByMainPID(pid, at, slack)
}

func (r recording) ByAddress(_ context.Context, a netip.Addr, at time.Time, slack time.Duration) (inventory.Result, error) {
	return r.Core.ByAddress(a, at, slack)
}

func (r recording) ByName(_ context.Context, name string, at time.Time, slack time.Duration) (inventory.Result, error) {
	return r.Core.ByName(name, at, slack)
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// at returns a time after noon that is not in whole seconds.
func at(seconds int) time.Time {
	return noon.Add(time.Duration(seconds)*time.Second + time.Millisecond)
}

func id(letter string) string { return strings.Repeat(letter, 64) }

// container returns one that runs since at(since).
func container(letter, address string, pid, since int) docker.Container {
	return docker.Container{
		ID: id(letter), Name: "c" + letter, Image: "shop:1", ImageID: "sha256:1", Labels: map[string]string{"tier": "front"},
		State: "running", Running: true, PID: pid, Created: at(since), StartedAt: at(since),
		Networks: []docker.Endpoint{{ID: "e" + letter, Network: "net", NetworkID: "n", IPv4: netip.MustParseAddr(address)}},
	}
}

// twoContainers is a recording in which b got the address and the pid of a, which was
// removed at 100 s.
func twoContainers() recording {
	c := inventory.NewCore()
	start := func(letter string, since int) {
		c.Apply(docker.Event{Time: at(since), Kind: "container", Action: "create", Container: id(letter), Name: "c" + letter, Image: "shop:1"})
		c.Apply(docker.Event{Time: at(since), Kind: "network", Action: "connect", Container: id(letter), NetworkID: "n"})
		c.Apply(docker.Event{Time: at(since), Kind: "container", Action: "start", Container: id(letter), Name: "c" + letter})
		c.Observe(container(letter, "172.20.0.2", 100, since), at(since+1), at(since+1))
	}
	start("a", 0)
	c.Apply(docker.Event{Time: at(100), Kind: "network", Action: "disconnect", Container: id("a"), NetworkID: "n"})
	c.Apply(docker.Event{Time: at(100), Kind: "container", Action: "die", Container: id("a")})
	c.Apply(docker.Event{Time: at(100), Kind: "container", Action: "destroy", Container: id("a")})
	start("b", 101)
	return recording{c}
}

func alert(when time.Time, change func(*event.Alert)) *event.Alert {
	a := &event.Alert{Time: when, FirstSeen: when, LastSeen: when}
	change(a)
	return a
}

func resolveBy(r attribution.Inventory, a *event.Alert, by ...policy.AttributionMethod) attribution.Result {
	if by == nil {
		by = policy.DefaultAttribution()
	}
	return attribution.Resolve(context.Background(), r, attribution.Query{Alert: a, By: by, Match: policy.Match{Labels: []string{"tier=front"}}})
}

func TestEachMethodNamesTheContainer(t *testing.T) {
	t.Parallel()
	r := twoContainers()
	for by, change := range map[policy.AttributionMethod]func(*event.Alert){
		policy.ByID:      func(a *event.Alert) { a.Container = &event.Container{ID: id("b")[:12], Name: "another"} },
		policy.ByPID:     func(a *event.Alert) { a.PID = 100 },
		policy.ByAddress: func(a *event.Alert) { a.Source = &event.Endpoint{IP: "::ffff:172.20.0.2", Port: 80} },
		policy.ByTarget:  func(a *event.Alert) { a.Target = &event.Endpoint{IP: "172.20.0.2"} },
		policy.ByName:    func(a *event.Alert) { a.Container = &event.Container{Name: "cb"} },
		policy.ByImage:   func(a *event.Alert) { a.Container = &event.Container{Image: "shop:1"} },
		policy.ByLabel:   func(*event.Alert) {},
	} {
		got := resolveBy(r, alert(at(200), change), by)
		require.Len(t, got.Containers, 1, "%s: %s", by, got.Reason)
		require.Equal(t, id("b"), got.Containers[0].ID, by)
		require.Equal(t, by, got.By)
	}
}

// Anyone can write an address into an unproven line; the others are of senders that do not choose it.
func TestAddressOfAnUnprovenAlertNamesNoContainer(t *testing.T) {
	t.Parallel()
	r := twoContainers()
	for _, trust := range event.Trusts() {
		a := alert(at(200), func(a *event.Alert) {
			a.Trust, a.Source, a.Target = trust, &event.Endpoint{IP: "172.20.0.2"}, &event.Endpoint{IP: "172.20.0.2"}
		})
		want := 1
		if trust == event.TrustUnproven {
			want = 0
		}
		require.Len(t, resolveBy(r, a, policy.ByAddress).Containers, want, trust)
		require.Len(t, resolveBy(r, a, policy.ByTarget).Containers, want, trust)
	}
}

func TestNextContainerWithTheAddressIsNotNamed(t *testing.T) {
	t.Parallel()
	r := twoContainers()
	source := func(a *event.Alert) { a.Source = &event.Endpoint{IP: "172.20.0.2"} }
	got := resolveBy(r, alert(at(50), source))
	require.Empty(t, got.Containers)
	require.Contains(t, got.Reason, "stale: container aaaaaaaaaaaa is gone")

	whole := alert(at(99), source)
	whole.LastSeen = at(150) // from one container to the next
	require.Contains(t, resolveBy(r, whole).Reason, "ambiguous")

	second := alert(at(99), source)
	second.FirstSeen = noon.Add(100 * time.Second) // whole seconds: it may have been until 101
	second.LastSeen = second.FirstSeen
	require.Empty(t, resolveBy(r, second).Containers)
	require.Contains(t, resolveBy(r, alert(at(50), func(a *event.Alert) { a.PID = 100 })).Reason, "stale")
}

func TestStrongestMethodDecides(t *testing.T) {
	t.Parallel()
	r := twoContainers()
	both := alert(at(200), func(a *event.Alert) {
		a.Container = &event.Container{ID: id("f"), Name: "cb", Image: "shop:1"}
		a.Source = &event.Endpoint{IP: "172.20.0.2"}
	})
	got := resolveBy(r, both)
	require.Empty(t, got.Containers, "an address does not replace an unknown id")
	require.Contains(t, got.Reason, "unknown")
	require.Equal(t, id("b"), resolveBy(r, both, policy.ByAddress).Containers[0].ID)

	outside := alert(at(200), func(a *event.Alert) {
		a.Container = &event.Container{Name: "cb"}
		a.Source = &event.Endpoint{IP: "203.0.113.7"}
	})
	require.Equal(t, policy.ByName, resolveBy(r, outside).By, "the source is no container, so it is not applicable")
}

func TestWeakMethodsCountOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	r := twoContainers()
	for _, change := range []func(*event.Alert){
		func(a *event.Alert) { a.Container = &event.Container{Image: "shop:1"} },
		func(a *event.Alert) { a.Target = &event.Endpoint{IP: "172.20.0.2"} },
		func(*event.Alert) {},
		func(a *event.Alert) { a.Source = &event.Endpoint{IP: "spoofed"} },
	} {
		got := resolveBy(r, alert(at(200), change))
		require.Empty(t, got.Containers)
		require.Contains(t, got.Reason, "names no container")
	}
	require.Contains(t, resolveBy(r, alert(at(200), func(a *event.Alert) { a.Container = &event.Container{Image: "other"} }), policy.ByImage).Reason, "no running container fits")
}

func TestNoContainerIsNamedWhileDisconnected(t *testing.T) {
	t.Parallel()
	r := twoContainers()
	r.Disconnected(at(150))
	got := resolveBy(r, alert(at(200), func(a *event.Alert) { a.Source = &event.Endpoint{IP: "172.20.0.2"} }))
	require.Empty(t, got.Containers, "another container may have the address since")
}
