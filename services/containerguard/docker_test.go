package containerguard_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
)

// newDockerRig returns a rig whose guard has a dockerd of its own.
func newDockerRig(t *testing.T) (*rig, *testenv.Docker) {
	t.Helper()
	d := testenv.Dockerd(t)
	r := newRig(t)
	r.cfg.DockerSocket = d.Socket
	return r, d
}

func state(t *testing.T, d *testenv.Docker, id string) docker.Container {
	t.Helper()
	client, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	defer client.Close()
	c, _, err := client.Inspect(t.Context(), id)
	require.NoError(t, err)
	return c
}

func about(id string) func(*event.Alert) {
	return func(a *event.Alert) { a.Container = &event.Container{ID: id} }
}

func TestAlertIsolatesItsContainer(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["isolate", "block-source"]`, `ttl = "1h"`)
	web, other := d.Run(t, testenv.ContainerOptions{Name: "web"}), d.Run(t, testenv.ContainerOptions{Name: "other"})
	s := r.start().docker()
	a := r.alert(func(a *event.Alert) {
		a.Container = &event.Container{ID: web}
		a.Source = &event.Endpoint{IP: "203.0.113.7"}
	})
	r.publish(a)
	done := r.await(a, "isolate done")
	require.Equal(t, "p", done.Policy)
	require.Equal(t, a.TraceID, done.TraceID)
	require.Equal(t, "container:"+web[:12], done.Target)
	require.NotNil(t, done.ExpiresAt)
	r.await(a, "block-source done")
	got := state(t, d, web)
	require.True(t, got.Paused)
	require.Empty(t, got.Networks)
	require.False(t, state(t, d, other).Paused)

	list, err := r.bus.Conn(bus.ContainerGuard).Blocklist(t.Context())
	require.NoError(t, err)
	block, err := list.Get(t.Context(), netip.MustParsePrefix("203.0.113.7/32"))
	require.NoError(t, err)
	require.Equal(t, "container-guard", block.Source)
	require.WithinDuration(t, time.Now().Add(time.Hour), block.Expires, time.Minute)

	var reply containerguard.ReleaseReply
	require.NoError(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "web", Reason: "looked at"}, &reply))
	require.False(t, reply.Pending)
	require.False(t, state(t, d, web).Paused)
	require.Len(t, state(t, d, web).Networks, 1)
	s.eventually(func() bool { return slices.Contains(briefs(r.actions()), "release released") })
}

// A release ends the cooldown of the container, and the update of a window with matches after it is answered, as there may be
// no other word of them; one whose matches were all before it is not.
func TestReleasedContainerIsGuardedAgain(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["isolate"]`, `cooldown = "1h"`)
	web := d.Run(t, testenv.ContainerOptions{Name: "web"})
	s := r.start().docker()
	isolated := func(a *event.Alert) {
		t.Helper()
		r.publish(a)
		r.await(a, "isolate done")
		require.NoError(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "web"}, nil))
	}
	update := func(at time.Time) *event.Alert {
		return r.alert(func(a *event.Alert) { about(web)(a); a.Update, a.Count, a.LastSeen = true, 5, at })
	}
	isolated(r.alert(about(web)))
	isolated(r.alert(about(web)))
	isolated(update(time.Now()))
	old := update(time.Now().Add(-time.Minute))
	r.publish(old)
	s.eventually(func() bool { return s.count("alert_updates") == 2 })
	require.Equal(t, uint64(3), s.count("orders"))
}

// A removed container leaves the caps at once, so that it holds no bystander.
func TestRemovedContainerLeavesTheCaps(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.MaxSharePercent = 1 // one container
	r.policy("p", `actions = ["pause"]`)
	first, second := d.Run(t, testenv.ContainerOptions{Name: "first"}), d.Run(t, testenv.ContainerOptions{Name: "second"})
	s := r.start().docker()
	a := r.alert(about(first))
	r.publish(a)
	r.await(a, "pause done")
	full := r.alert(about(second))
	r.publish(full)
	require.Contains(t, r.await(full, "pause skipped").Reason, "container.max_share_percent")
	require.Equal(t, uint64(1), s.count("steps_waiting_for_room"))
	require.Contains(t, s.Health().Reasons, "steps of policies wait for: room 1; see ironpost quarantine waiting")
	var reply containerguard.WaitingReply
	require.NoError(t, r.ask(containerguard.VerbWaiting, nil, &reply))
	require.Equal(t, map[string]int{"room": 1}, reply.Counts)
	require.Len(t, reply.Waiting, 1)
	w := reply.Waiting[0]
	require.Equal(t, []string{full.ID, "second", "pause", "room", "p"}, []string{w.Alert, w.Name, w.Kind, w.Need, w.Policy})
	require.Contains(t, w.Reason, "container.max_share_percent")
	require.Equal(t, time.Hour, w.Until.Sub(w.Since))
	d.Remove(t, first)
	r.await(full, "pause done")
	s.eventually(func() bool { return s.count("steps_waiting_for_room") == 0 })
}

// What waits for room ends with the container, and is reported.
func TestWaitingStepEndsWithItsContainer(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.MaxSharePercent = 1 // one container
	r.policy("p", `actions = ["pause"]`)
	first, second := d.Run(t, testenv.ContainerOptions{Name: "first"}), d.Run(t, testenv.ContainerOptions{Name: "second"})
	s := r.start().docker()
	a, full := r.alert(about(first)), r.alert(about(second))
	r.publish(a)
	r.await(a, "pause done")
	r.publish(full)
	r.await(full, "pause skipped")
	d.Remove(t, second)
	s.eventually(func() bool { return s.count("steps_waiting_for_room") == 0 })
	s.eventually(func() bool {
		return slices.ContainsFunc(r.actions(), func(a event.Action) bool {
			return a.AlertID == full.ID && a.Phase == event.Skipped && strings.Contains(a.Reason, "the container was removed: it waited for room; cap: ")
		})
	})
}

func TestTenThousandAlertsAreOneIsolation(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["isolate"]`)
	web := d.Run(t, testenv.ContainerOptions{Name: "web"})
	s := r.start().docker()
	const n = 10_000
	for range n / 100 {
		var batch []*event.Alert
		for range 100 {
			batch = append(batch, r.alert(about(web)))
		}
		r.publish(batch...)
	}
	s.eventually(func() bool { return s.count("alerts") >= n && s.count("skipped") >= n-1 })
	require.Equal(t, uint64(1), s.count("orders"))
	isolated := 0
	for _, a := range r.actions() {
		if brief(a) == "isolate done" {
			isolated++
		}
	}
	require.Equal(t, 1, isolated)
	require.Less(t, len(r.actions()), 50, "the same skip is reported once a minute")
}

func TestProtectedContainersAreNeverIsolated(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.Protected = []string{"core-*"}
	r.policy("p", `actions = ["isolate"]`)
	ids := []string{
		d.Run(t, testenv.ContainerOptions{Name: "labelled", Labels: map[string]string{"ironpost.protected": "true"}}),
		d.Run(t, testenv.ContainerOptions{Name: "core-dns"}),
		d.Run(t, testenv.ContainerOptions{Name: "owner"}),
	}
	d.Run(t, testenv.ContainerOptions{Name: "side", Network: "container:" + ids[2]})
	s := r.start().docker()
	for i := range 200 {
		r.publish(r.alert(about(ids[i%3])))
	}
	s.eventually(func() bool { return s.count("skipped") >= 200 })
	require.Zero(t, s.count("orders"))
	for _, id := range ids {
		require.False(t, state(t, d, id).Paused)
	}
	reasons := map[string]bool{}
	for _, a := range r.actions() {
		require.Equal(t, event.Skipped, a.Phase)
		reasons[a.Reason] = true
	}
	require.Len(t, reasons, 3)
	require.Error(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: "core-dns"}, nil))
	var isolated containerguard.Quarantined
	require.NoError(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: "core-dns", Kind: "pause", Force: true}, &isolated))
	require.True(t, state(t, d, ids[1]).Paused)
}

func TestLabelOfTheImageGivesNoImmunity(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.TrustImageLabels = []string{"own/*"}
	r.policy("p", `actions = ["pause"]`)
	r.policy("team", `match.labels = ["team=db"]`, `actions = ["isolate"]`)
	for _, name := range []string{"third/party:1", "own/db:1"} {
		d.Image(t, name, map[string]string{"ironpost.protected": "true", "team": "db"})
	}
	theirs := d.Run(t, testenv.ContainerOptions{Name: "theirs", Image: "third/party:1"})
	own := d.Run(t, testenv.ContainerOptions{Name: "own", Image: "own/db:1"})
	s := r.start().docker()
	ignored, spared := r.alert(about(theirs)), r.alert(about(own))
	r.publish(ignored, spared)
	r.await(ignored, "pause done")
	require.Contains(t, r.await(spared, "pause skipped").Reason, "label ironpost.protected")
	reasons := strings.Join(s.Health().Reasons, "\n")
	require.Contains(t, reasons, "never acted on, protected: label ironpost.protected: own")
	require.Contains(t, reasons, "label ironpost.protected of the image does not count (container.trust_image_labels): theirs")
	require.Contains(t, reasons, "label team of the image does not count (container.trust_image_labels): theirs")
	require.Equal(t, event.Healthy, s.Health().Status)
}

func TestStaleAndUnknownAreSkippedWithAReason(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["isolate"]`)
	web := d.Run(t, testenv.ContainerOptions{Name: "web"})
	gone := d.Run(t, testenv.ContainerOptions{Name: "gone"})
	r.start().docker()
	d.Remove(t, gone)
	for want, change := range map[string]func(*event.Alert){
		"stale: the alert is": func(a *event.Alert) { about(web)(a); a.LastSeen = a.LastSeen.Add(-time.Hour) },
		"in the future":       func(a *event.Alert) { about(web)(a); a.Time = a.Time.Add(time.Hour) },
		"unknown: container":  about(strings.Repeat("a", 64)),
		"names no container":  nil,
		"is gone":             about(gone),
		"unknown: name":       func(a *event.Alert) { a.Container = &event.Container{Name: "unknown"} },
	} {
		a := r.alert(change)
		r.publish(a)
		require.Contains(t, r.await(a, "isolate skipped").Reason, want)
	}
	require.False(t, state(t, d, web).Paused)
}

func TestCapsAreExactAndReported(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.MaxPerMinute = 3
	r.policy("p", `actions = ["pause"]`)
	var ids []string
	for i := range 6 {
		ids = append(ids, d.Run(t, testenv.ContainerOptions{Name: fmt.Sprint("c", i)}))
	}
	s := r.start().docker()
	var alerts []*event.Alert
	for _, id := range ids {
		alerts = append(alerts, r.alert(about(id)))
	}
	r.publish(alerts...)
	s.eventually(func() bool { return s.count("orders") == 3 && s.count("skipped") == 3 && s.count("quarantined") == 3 })
	s.eventually(func() bool { return strings.Count(fmt.Sprint(briefs(r.actions())), "pause done") == 3 })
	paused := 0
	for _, id := range ids {
		if state(t, d, id).Paused {
			paused++
		}
	}
	require.Equal(t, 3, paused)
	var reported int
	for _, a := range r.actions() {
		if a.Phase == event.Skipped {
			require.Contains(t, a.Reason, "container.max_per_minute")
			reported++
		}
	}
	require.Equal(t, 3, reported)
}

func TestAlertsWaitForDockerWhileAddressesAreBlocked(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["pause", "block-source"]`)
	web := d.Run(t, testenv.ContainerOptions{Name: "web", Restart: "always"})
	d.Stop(t)
	s := r.start() // it does not know the container
	s.eventually(func() bool { return strings.Contains(fmt.Sprint(s.Health().Reasons), "Docker:") })
	a := r.alert(func(a *event.Alert) {
		a.Container = &event.Container{ID: web}
		a.Source = &event.Endpoint{IP: "203.0.113.9"}
	})
	r.publish(a)
	r.await(a, "block-source done")
	require.NoError(t, s.stop(), "pending alerts survive a restart")
	s = r.start()
	d.Start(t)
	s.docker()
	r.await(a, "pause done")
	require.True(t, state(t, d, web).Paused)
	waiting, err := filepath.Glob(filepath.Join(r.data(), "pending", "*"))
	require.NoError(t, err)
	s.eventually(func() bool {
		waiting, _ = filepath.Glob(filepath.Join(r.data(), "pending", "*"))
		return len(waiting) == 0
	})
}

func TestPendingAlertByIDIsAnsweredWhenDockerIsBack(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["pause"]`)
	web := d.Run(t, testenv.ContainerOptions{Name: "web", Restart: "always"})
	d.Stop(t)
	s := r.start()
	a := r.alert(about(web))
	r.publish(a)
	s.eventually(func() bool { return s.count("alerts_waiting") == 1 })
	d.Start(t)
	r.await(a, "pause done")
	require.True(t, state(t, d, web).Paused)
}

func TestOperatorsReadEvidence(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	web := d.Run(t, testenv.ContainerOptions{Name: "web", Cmd: []string{"/bin/sh", "-c", "echo hello; sleep 3600"}})
	s := r.start().docker()
	var isolated containerguard.Quarantined
	require.NoError(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: web[:12], TTLSecs: 3600}, &isolated))
	require.Equal(t, "isolate", isolated.Kind)
	require.Equal(t, []string{"bridge"}, isolated.Networks)
	var reply containerguard.EvidenceReply
	s.eventually(func() bool {
		return r.ask(containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: "web"}, &reply) == nil
	})
	require.Contains(t, string(reply.Manifest), "logs.jsonl")
	require.NoError(t, r.ask(containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: reply.Action[:8], File: "logs.jsonl"}, &reply))
	require.Contains(t, string(reply.Data), "hello")
	for _, bad := range []string{"../state.json", ".hidden", "/etc/passwd", "none"} {
		require.Error(t, r.ask(containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: reply.Action, File: bad}, nil), bad)
	}
	var list containerguard.QuarantineReply
	require.NoError(t, r.ask(containerguard.VerbQuarantine, nil, &list))
	require.Len(t, list.Quarantined, 1)
	_, err := os.Stat(filepath.Join(r.data(), "evidence", list.Quarantined[0].Action))
	require.NoError(t, err)
}

func TestProtectedReplacementIsNotIsolated(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	labels := map[string]string{
		"com.docker.compose.project": "p", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
	}
	web := d.Run(t, testenv.ContainerOptions{Name: "web", Labels: labels})
	s := r.start().docker()
	require.NoError(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: web}, nil))
	d.Remove(t, web)
	labels["ironpost.protected"] = "true"
	spared := d.Run(t, testenv.ContainerOptions{Name: "web", Labels: labels})
	delete(labels, "ironpost.protected")
	again := d.Run(t, testenv.ContainerOptions{Name: "web-again", Labels: labels})
	s.eventually(func() bool { return state(t, d, again).Paused })
	require.False(t, state(t, d, spared).Paused, "it was protected when it was recreated")
	require.Len(t, state(t, d, spared).Networks, 1)
}

// A container that a cap refused is acted on when there is room, without a further alert.
func TestCappedContainerIsPausedWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.cfg.MaxSharePercent = 1 // one container at a time
	r.policy("p", `actions = ["pause"]`, `cooldown = "1h"`)
	one, two := d.Run(t, testenv.ContainerOptions{Name: "one"}), d.Run(t, testenv.ContainerOptions{Name: "two"})
	r.start().docker()
	first, refused := r.alert(about(one)), r.alert(about(two))
	r.publish(first)
	r.await(first, "pause done")
	r.publish(refused)
	require.Contains(t, r.await(refused, "pause skipped").Reason, "container.max_share_percent")
	require.NoError(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "one"}, nil))
	r.await(refused, "pause done")
	require.True(t, state(t, d, two).Paused)
}

func TestNameThatIsAnotherContainersIDIsAmbiguous(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	meant := d.Run(t, testenv.ContainerOptions{Name: "meant"})
	decoy := d.Run(t, testenv.ContainerOptions{Name: meant[:12]})
	s := r.start().docker()
	s.eventually(func() bool { return s.count("containers") == 2 })
	require.ErrorContains(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: meant[:12]}, nil), "2 containers")
	require.False(t, state(t, d, decoy).Paused)
	require.NoError(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: meant}, nil))
	require.True(t, state(t, d, meant).Paused)
}

func TestContainerProtectedWhileDockerWasAwayIsNotIsolated(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	r.policy("p", `actions = ["pause"]`)
	options := testenv.ContainerOptions{Name: "web", Restart: "always"}
	web := d.Run(t, options)
	options.Name = "other"
	other := d.Run(t, options)
	s := r.start().docker()
	d.Kill(t) // its containers keep running
	s.eventually(func() bool { return strings.Contains(fmt.Sprint(s.Health().Reasons), "Docker:") })
	exempt, paused := r.alert(about(web)), r.alert(about(other))
	r.publish(exempt, paused)
	s.eventually(func() bool { return s.count("quarantined") == 2 })
	cfg := r.cfg
	cfg.Protected = []string{"web"}
	commit, err := s.PrepareReload(t.Context(), cfg)
	require.NoError(t, err)
	commit()
	d.Start(t)
	require.Contains(t, r.await(exempt, "pause skipped").Error, "protected: by name")
	r.await(paused, "pause done")
	require.False(t, state(t, d, web).Paused)
	require.True(t, state(t, d, other).Paused)
}

func TestReleaseReplySaysWhatIsNotRestored(t *testing.T) {
	t.Parallel()
	r, d := newDockerRig(t)
	network := d.Network(t, "shop", "10.84.0.0/24")
	d.Run(t, testenv.ContainerOptions{Name: "web", Network: "shop"})
	s := r.start().docker()
	require.NoError(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: "web"}, nil))
	d.Do(t, "DELETE", "/networks/"+network, nil, nil)
	var reply containerguard.ReleaseReply
	require.NoError(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "web"}, &reply))
	require.True(t, reply.Unrestored && reply.Pending, "%+v", reply)
	require.Contains(t, strings.Join(reply.Differences, "; "), "it is not on network shop")
	s.eventually(func() bool { return slices.Contains(briefs(r.actions()), "release failed") })
	d.Network(t, "shop", "10.84.0.0/24")
	s.eventually(func() bool { return slices.Contains(briefs(r.actions()), "release released") })
}
