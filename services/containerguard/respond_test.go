package containerguard_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

func from(ip string) func(*event.Alert) {
	return func(a *event.Alert) { a.Source = &event.Endpoint{IP: ip} }
}

func (r *rig) blocked() []string {
	r.t.Helper()
	list, err := r.bus.Conn(bus.ContainerGuard).Blocklist(r.t.Context())
	require.NoError(r.t, err)
	all, invalid, err := list.List(r.t.Context())
	require.NoError(r.t, err)
	require.Zero(r.t, invalid)
	var out []string
	for _, b := range all {
		out = append(out, b.Prefix.String())
	}
	return out
}

func TestAddressesAreBlockedWithoutDocker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.NeverBlock = []string{"198.51.100.0/24"}
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "2h"`)
	s := r.start()
	good := r.alert(from("203.0.113.7"))
	r.publish(good)
	done := r.await(good, "block-source done")
	require.Equal(t, "ironpost blocklist del 203.0.113.7", done.Undo)
	require.WithinDuration(t, time.Now().Add(2*time.Hour), *done.ExpiresAt, time.Minute)
	for ip, want := range map[string]string{
		"": "names no source", "spoofed": "not an address", "127.0.0.1": "of this machine", "10.0.0.9": "private",
		"198.51.100.7": "never_block", "224.0.0.1": "multicast", "0.0.0.0": "unspecified",
	} {
		a := r.alert(from(ip))
		r.publish(a)
		require.Contains(t, r.await(a, "block-source skipped").Reason, want, ip)
	}
	require.Equal(t, []string{"203.0.113.7/32"}, r.blocked())
	require.Contains(t, fmt.Sprint(s.Health().Reasons), "Docker:", "health says that Docker is missing")
	require.Equal(t, event.Degraded, s.Health().Status)
}

func TestPrivateAddressesAreBlockedIfAllowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.BlockPrivate = true
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	a := r.alert(from("10.255.255.9"))
	r.publish(a)
	r.await(a, "block-source done")
}

func TestDryRunBlocksNothing(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*rig){
		"auto_isolate": func(r *rig) {
			r.cfg.AutoIsolate = false
			r.policy("p", `actions = ["block-source"]`)
		},
		"the policy": func(r *rig) { r.policy("p", `actions = ["block-source"]`, "dry_run = true") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			set(r)
			s := r.start()
			a := r.alert(from("203.0.113.7"))
			r.publish(a)
			require.Contains(t, r.await(a, "block-source skipped dry").Reason, "would block-source")
			require.Empty(t, r.blocked())
			require.Equal(t, uint64(1), s.count("dry_runs"))
		})
	}
}

func TestUpdatesAndAlertsOfAnotherOriginAreNotAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	update := r.alert(from("203.0.113.1"))
	update.Update, update.Count = true, 5
	r.publish(update)
	r.publish(r.alert(func(a *event.Alert) { from("203.0.113.2")(a); a.Module = bus.SBOMScanner }))
	r.publish(r.alert(func(a *event.Alert) { from("203.0.113.3")(a); a.Host = "elsewhere" }))
	r.publish(r.alert(func(a *event.Alert) { from("203.0.113.4")(a); a.Severity = event.Low }))
	s.eventually(func() bool {
		return s.count("alert_updates") == 1 && s.count("alerts_rejected") == 2 && s.count("alerts_unmatched") == 1
	})
	require.Empty(t, r.blocked())
	require.Empty(t, r.actions())
}

func TestFirstPolicyThatAppliesIsTheLastUnlessItContinues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("1-note", "priority = 1", `actions = ["notify"]`, "continue = true")
	r.policy("2-block", "priority = 2", `actions = ["block-source"]`)
	r.policy("3-never", "priority = 3", `actions = ["block-source"]`)
	r.policy("0-other", "priority = 0", `actions = ["block-source"]`, `match.rules = ["other"]`)
	r.start()
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	require.Equal(t, "2-block", r.await(a, "block-source done").Policy)
	require.Equal(t, "1-note", r.await(a, "notify skipped").Policy, "there is no webhook")
}

func TestRedeliveredAlertIsNotAnsweredTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	r.await(a, "block-source done")
	require.NoError(t, s.stop())
	before := r.actions()

	again := *a // the same alert under another message id, as a redelivery after a crash would be
	s = r.start()
	require.NoError(t, r.raw(&again))
	s.eventually(func() bool { return s.count("alerts") == 1 })
	require.NoError(t, s.stop())
	require.Equal(t, briefs(before), briefs(r.actions()))
}

// raw publishes an alert that is stored already, which a Publisher would leave out.
func (r *rig) raw(a *event.Alert) error {
	data, err := event.Encode(a)
	if err != nil {
		return err
	}
	return r.bus.Raw(bus.LogPipeline).Publish(bus.AlertSubject(bus.LogPipeline, host), data)
}

func TestCooldownSurvivesARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `cooldown = "1h"`)
	s := r.start()
	first, second, other := r.alert(from("203.0.113.7")), r.alert(from("203.0.113.7")), r.alert(from("203.0.113.8"))
	r.publish(first)
	r.await(first, "block-source done")
	require.NoError(t, s.stop())
	r.start() // the cooldown is on disk
	r.publish(second, other)
	require.Contains(t, r.await(second, "block-source skipped").Reason, "cooldown until")
	r.await(other, "block-source done")
}

func TestPolicyMayRequireIndependentAlerts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, "[policy.match]", `severity = "high"`, "[policy.require]", "alerts = 2", `within = "1h"`)
	r.start()
	alert := func(rule, ip string) *event.Alert {
		a := r.alert(func(a *event.Alert) { from(ip)(a); a.Rule.ID = rule })
		r.publish(a)
		return a
	}
	require.Contains(t, r.await(alert("one", "203.0.113.7"), "block-source skipped").Reason, "1 of 2 independent alerts within 1h0m0s, by rule")
	require.Contains(t, r.await(alert("two", "203.0.113.8"), "block-source skipped").Reason, "1 of 2", "another address")
	alert("one", "203.0.113.7") // the same rule again
	r.await(alert("two", "203.0.113.7"), "block-source done")
	require.Equal(t, []string{"203.0.113.7/32"}, r.blocked())
}

func TestPendingAlertIsSkippedWhenStale(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.MaxAlertAgeSecs = 2
	r.policy("p", `actions = ["pause"]`)
	s := r.start()
	a := r.alert(func(a *event.Alert) { a.Container = &event.Container{ID: strings.Repeat("a", 64)} })
	r.publish(a)
	require.Contains(t, r.await(a, "pause skipped").Reason, "stale: the alert is")
	require.Equal(t, uint64(1), s.count("alerts_waited"))
	s.eventually(func() bool { return s.count("alerts_waiting") == 0 })
	left, err := os.ReadDir(filepath.Join(r.data(), "pending"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// A policy that waits for Docker keeps none behind it from answering, if it says continue,
// and tells in the end that nothing was done. What was done at once is not done again.
func TestWaitingForDockerSwallowsNoLaterPolicy(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]string{"any container": `match.severity = "high"`, "certain containers": `match.containers = ["web-*"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.cfg.MaxAlertAgeSecs = 3
			r.policy("first", "priority = 1", "continue = true", `actions = ["pause"]`, match)
			r.policy("second", "priority = 2", "continue = true", `actions = ["block-source"]`)
			r.policy("third", "priority = 3", `actions = ["notify"]`)
			s := r.start()
			a := r.alert(func(a *event.Alert) {
				from("203.0.113.7")(a)
				a.Container = &event.Container{ID: strings.Repeat("a", 64)}
			})
			r.publish(a)
			r.await(a, "block-source done")
			r.await(a, "notify skipped") // there is no webhook
			require.Contains(t, r.await(a, "pause skipped").Reason, "stale: the alert is")
			s.eventually(func() bool { return s.count("alerts_waiting") == 0 })
			require.Equal(t, []string{"203.0.113.7/32"}, r.blocked())
			require.ElementsMatch(t, []string{"block-source intended", "block-source done", "notify skipped", "pause skipped"}, briefs(r.actions()))
		})
	}
}

// The name of a container that was not found may mean different containers: alerts with
// different deduplication keys are reported each, though reason and target are the same.
func TestSkippedAlertsAboutAnUnknownContainerAreReportedEach(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["pause"]`)
	r.start()
	for _, key := range []string{"one", "two"} {
		a := r.alert(func(a *event.Alert) {
			a.Container, a.DedupKey = &event.Container{Name: "web"}, key
			a.LastSeen = a.LastSeen.Add(-time.Hour)
		})
		r.publish(a)
		require.Equal(t, "container:web", r.await(a, "pause skipped").Target)
	}
}

// Without its container, a policy about containers does not apply, so its block was not
// made when the alert arrived either: the skipped action says so.
func TestPendingAlertReportsTheBlockThatWasNotMade(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.MaxAlertAgeSecs = 2
	r.policy("p", `actions = ["block-source"]`, "[policy.match]", `severity = "high"`, `containers = ["*"]`)
	r.start()
	a := r.alert(func(a *event.Alert) {
		from("203.0.113.7")(a)
		a.Container = &event.Container{ID: strings.Repeat("a", 64)}
	})
	r.publish(a)
	skipped := r.await(a, "block-source skipped")
	require.Contains(t, skipped.Reason, "stale: the alert is")
	require.Equal(t, "address:203.0.113.7", skipped.Target)
	require.Empty(t, r.blocked())
}

func TestBlockNeverShortensAnEntry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`)
	list, err := r.bus.Conn(bus.ContainerGuard).Blocklist(t.Context())
	require.NoError(t, err)
	prefix, until := netip.MustParsePrefix("203.0.113.7/32"), time.Now().Add(24*time.Hour).UTC()
	require.NoError(t, list.Put(t.Context(), bus.Block{Prefix: prefix, Created: time.Now(), Expires: until, Source: "operator"}))
	r.start()
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	require.WithinDuration(t, until, *r.await(a, "block-source done").ExpiresAt, time.Second)
}

func TestDependencyIsNeverBlocked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.dependsOn = []string{"203.0.113.42:4222"}
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	a := r.alert(from("203.0.113.42"))
	r.publish(a)
	require.Contains(t, r.await(a, "block-source skipped").Reason, "203.0.113.42:4222, which the guard depends on")
}

func TestBlockIsMadeAfterItsIntendedActionIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	for i := range 10 {
		ip := fmt.Sprint("203.0.113.", i)
		a := r.alert(from(ip))
		r.publish(a)
		r.await(a, "block-source done")
		require.True(t, r.actionStored(a, event.Intended).Before(r.blockStored(ip)))
	}
}

// actionStored returns when the server stored the action of that phase about an alert.
func (r *rig) actionStored(alert *event.Alert, phase event.Phase) (at time.Time) {
	r.t.Helper()
	require.NoError(r.t, r.bus.Admin().History(r.t.Context(), bus.Actions, bus.HistoryOptions{Filter: bus.ActionSubject("*", host)}, func(d bus.Delivery) bool {
		var a event.Action
		require.NoError(r.t, event.Decode(d.Data, &a))
		if a.AlertID == alert.ID && a.Phase == phase {
			at = d.StoredAt
		}
		return true
	}))
	require.NotZero(r.t, at)
	return at
}

// blockStored returns when the server stored the blocklist entry of an address.
func (r *rig) blockStored(ip string) time.Time {
	r.t.Helper()
	key := bus.BlockKey(netip.PrefixFrom(netip.MustParseAddr(ip), 32))
	request := fmt.Sprintf(`{"last_by_subj":"$KV.%s.%s"}`, bus.BlocklistBucket, key)
	reply, err := r.bus.Raw(bus.Daemon).Request("$JS.API.STREAM.MSG.GET.KV_"+bus.BlocklistBucket, []byte(request), patience)
	require.NoError(r.t, err)
	var stored struct{ Message struct{ Time time.Time } }
	require.NoError(r.t, json.Unmarshal(reply.Data, &stored))
	require.NotZero(r.t, stored.Message.Time, string(reply.Data))
	return stored.Message.Time
}

func TestSkippedStaleAlertNamesItsTargets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["pause", "block-source"]`)
	r.start()
	id := strings.Repeat("ab", 32)
	a := r.alert(func(a *event.Alert) {
		from("203.0.113.7")(a)
		a.Container = &event.Container{ID: id}
		a.LastSeen = a.LastSeen.Add(-time.Hour)
	})
	r.publish(a)
	block, pause := r.await(a, "block-source skipped"), r.await(a, "pause skipped")
	require.Contains(t, block.Reason, "stale: the alert is")
	require.Equal(t, "address:203.0.113.7", block.Target)
	require.Contains(t, pause.Reason, "stale: the alert is")
	require.Equal(t, "container:"+id[:12], pause.Target)
}

func TestPendingAlertIsRemovedWhateverItsFileIsCalled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["pause"]`)
	a := r.alert(func(a *event.Alert) {
		a.Container = &event.Container{ID: strings.Repeat("a", 64)}
		a.LastSeen = a.LastSeen.Add(-time.Hour)
	})
	data, err := event.Encode(a)
	require.NoError(t, err)
	file := filepath.Join(r.data(), "pending", "named-by-an-earlier-version.json")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
	s := r.start()
	r.await(a, "pause skipped")
	s.eventually(func() bool { return s.count("alerts_waiting") == 0 })
	require.NoFileExists(t, file)
}

func TestFullStreamOfActionsDelaysNoBlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	first := r.alert(from("203.0.113.1"))
	r.publish(first)
	r.await(first, "block-source done")
	r.fillActions()
	for i := range 3 {
		r.publish(r.alert(from(fmt.Sprint("203.0.113.1", i))))
	}
	require.Eventually(t, func() bool { return len(r.blocked()) == 4 }, patience, tick)
	require.Len(t, r.actions(), 2, "the stream takes no more")
}

// fillActions lets the stream of actions take no more than it has.
func (r *rig) fillActions() {
	r.t.Helper()
	api := func(name string, request []byte, reply any) {
		r.t.Helper()
		m, err := r.bus.Raw(bus.Daemon).Request("$JS.API.STREAM."+name+"."+string(bus.Actions), request, patience)
		require.NoError(r.t, err)
		require.NotContains(r.t, string(m.Data), `"error"`)
		require.NoError(r.t, json.Unmarshal(m.Data, reply))
	}
	var info struct {
		Config map[string]any
		State  struct{ Messages int }
	}
	api("INFO", nil, &info)
	info.Config["max_msgs"] = info.State.Messages
	request, err := json.Marshal(info.Config)
	require.NoError(r.t, err)
	api("UPDATE", request, &struct{}{})
}

// A container that logs about many addresses fills neither the blocklist nor the share of others: it blocks up to its cap, a
// stronger block takes the place of one of its own where there is no room, and no weak one takes that of the stronger.
func TestBlocksAreCapped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.MaxBlocks, r.cfg.MaxBlocksPerSource = 3, 2
	r.policy("p", `actions = ["block-source"]`, `require.proof = false`)
	s := r.start()
	output := func(id, ip string) *event.Alert {
		return r.alert(func(a *event.Alert) {
			from(ip)(a)
			a.Trust, a.Origin = event.TrustContainer, &event.Origin{Transport: event.TransportDocker, Container: id}
		})
	}
	blocked := func(a *event.Alert) {
		t.Helper()
		r.publish(a)
		r.await(a, "block-source done")
	}
	blocked(output("one", "203.0.113.1"))
	blocked(output("one", "203.0.113.2"))
	flood := output("one", "203.0.113.3")
	r.publish(flood)
	require.Contains(t, r.await(flood, "block-source skipped").Reason, "container.max_blocks_per_source")
	blocked(output("two", "203.0.113.4"))
	full := output("two", "203.0.113.5")
	r.publish(full)
	require.Contains(t, r.await(full, "block-source skipped").Reason, "container.max_blocks")
	require.Contains(t, fmt.Sprint(s.Health().Reasons), "blocks were refused, at last at ")
	require.Equal(t, uint64(2), s.count("blocks_capped"))

	strong := r.alert(from("203.0.113.9"))
	blocked(strong)
	require.ElementsMatch(t, []string{"203.0.113.2/32", "203.0.113.4/32", "203.0.113.9/32"}, r.blocked(), "the weakest that ends first gave way")
	gaveWay := output("one", "203.0.113.1")
	r.publish(gaveWay)
	require.Contains(t, r.await(gaveWay, "block-source skipped").Reason, "container.max_blocks", "no cooldown of the block that is gone")
	again := output("three", "203.0.113.6")
	r.publish(again)
	require.Contains(t, r.await(again, "block-source skipped").Reason, "container.max_blocks")
	require.Contains(t, r.blocked(), "203.0.113.9/32")
	require.Equal(t, uint64(1), s.count("blocks_yielded"))

	roomier := r.cfg
	roomier.MaxBlocks = 4
	commit, err := s.PrepareReload(t.Context(), roomier)
	require.NoError(t, err)
	commit()
	s.eventually(func() bool { return len(r.blocked()) == 4 && s.count("answered_late") == 1 }) // what was refused is done when there is room

	require.NoError(t, s.stop())
	require.NoError(t, os.Remove(filepath.Join(r.data(), "blocks.json")))
	r.cfg.MaxBlocks = 4
	r.start()
	full = output("four", "203.0.113.7")
	r.publish(full)
	require.Contains(t, r.await(full, "block-source skipped").Reason, "cap: 4 addresses", "those of the blocklist count")
}
