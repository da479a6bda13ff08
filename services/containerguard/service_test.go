package containerguard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
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

func TestAddressesAreBlockedWithoutAnyDocker(t *testing.T) {
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
	require.Contains(t, fmt.Sprint(s.Health().Reasons), "Docker:", "that Docker is missing is told")
	require.Equal(t, event.Degraded, s.Health().Status)
}

func TestPrivateAddressesAreBlockedWhereAllowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.BlockPrivate = true
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	a := r.alert(from("10.255.255.9"))
	r.publish(a)
	r.await(a, "block-source done")
}

func TestADryRunActsOnNothing(t *testing.T) {
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

func TestUpdatesAndForeignAlertsAreNotActedOn(t *testing.T) {
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

func TestTheFirstPolicyThatAppliesIsTheLastUnlessItGoesOn(t *testing.T) {
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

func TestADeliveryThatComesAgainDoublesNothing(t *testing.T) {
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

// raw publishes what the publisher would leave out: an alert that is stored already.
func (r *rig) raw(a *event.Alert) error {
	data, err := event.Encode(a)
	if err != nil {
		return err
	}
	return r.bus.Raw(bus.LogPipeline).Publish(bus.AlertSubject(bus.LogPipeline, host), data)
}

func TestCooldownLeavesATargetAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `cooldown = "1h"`)
	s := r.start()
	first, second, other := r.alert(from("203.0.113.7")), r.alert(from("203.0.113.7")), r.alert(from("203.0.113.8"))
	r.publish(first)
	r.await(first, "block-source done")
	require.NoError(t, s.stop())
	r.start() // it is remembered
	r.publish(second, other)
	require.Contains(t, r.await(second, "block-source skipped").Reason, "cooldown until")
	r.await(other, "block-source done")
}

func TestAPolicyMayWantIndependentAlerts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, "[policy.match]", `severity = "high"`, "[policy.require]", "alerts = 2", `within = "1h"`)
	r.start()
	say := func(rule, ip string) *event.Alert {
		a := r.alert(func(a *event.Alert) { from(ip)(a); a.Rule.ID = rule })
		r.publish(a)
		return a
	}
	require.Contains(t, r.await(say("one", "203.0.113.7"), "block-source skipped").Reason, "1 of 2 independent alerts within 1h0m0s, by rule")
	require.Contains(t, r.await(say("two", "203.0.113.8"), "block-source skipped").Reason, "1 of 2", "another address")
	say("one", "203.0.113.7") // the same voice again
	r.await(say("two", "203.0.113.7"), "block-source done")
	require.Equal(t, []string{"203.0.113.7/32"}, r.blocked())
}

func TestPoliciesAreTakenUpWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	require.Equal(t, uint64(1), s.count("policies"))

	r.policy("q", `actions = ["explode"]`)
	s.eventually(func() bool { return strings.Contains(fmt.Sprint(s.Health().Reasons), "q.toml:3:12") })
	require.Contains(t, fmt.Sprint(s.Health().Reasons), "1 policies stay in force")
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	r.await(a, "block-source done")

	r.policy("q", `actions = ["notify"]`)
	s.eventually(func() bool {
		return s.count("policies") == 2 && !strings.Contains(fmt.Sprint(s.Health().Reasons), "policies")
	})

	require.NoError(t, os.RemoveAll(r.cfg.PolicyPath))
	s.eventually(func() bool { return strings.Contains(fmt.Sprint(s.Health().Reasons), "is missing") })
}

func TestAReloadIsRefusedForAPolicyWithAMistake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	r.policy("q", `actions = ["explode"]`)
	_, err := s.PrepareReload(t.Context(), r.cfg)
	require.ErrorContains(t, err, "q.toml:3:12")
	r.policy("q", `actions = ["notify"]`)
	cfg := r.cfg
	cfg.AutoIsolate = false
	commit, err := s.PrepareReload(t.Context(), cfg)
	require.NoError(t, err)
	commit()
	require.Equal(t, uint64(2), s.count("policies"))
	a := r.alert(from("203.0.113.7"))
	r.publish(a)
	r.await(a, "block-source skipped dry")
	cfg.DockerSocket = "/another.sock"
	commit, err = s.PrepareReload(t.Context(), cfg)
	require.NoError(t, err)
	require.Nil(t, commit, "another socket needs a new guard")
}

func TestTheWebhookIsToldWhatWasDone(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got <- body
	}))
	t.Cleanup(hook.Close)
	r := newRig(t)
	r.cfg.WebhookURL = hook.URL
	r.policy("p", `name = "Block them"`, `actions = ["notify", "block-source"]`)
	r.start()
	a := r.alert(func(a *event.Alert) { from("203.0.113.7")(a); a.Title = "<!channel>\nattack" })
	r.publish(a)
	r.await(a, "notify done")
	var m struct {
		Text     string
		Outcomes []struct{ Kind, Phase string }
		Alert    event.Alert
	}
	require.NoError(t, json.Unmarshal(<-got, &m))
	require.Contains(t, m.Text, "[HIGH] &lt;!channel&gt;?attack on testhost, from 203.0.113.7\nPolicy: Block them\n• block-source address:203.0.113.7: done")
	require.Equal(t, a.ID, m.Alert.ID)
	require.Equal(t, []struct{ Kind, Phase string }{{"block-source", "done"}}, m.Outcomes)
}

func TestAWebhookThatHangsDelaysNoAction(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release); hook.Close() })
	r := newRig(t)
	r.cfg.WebhookURL = hook.URL
	r.policy("p", `actions = ["notify", "block-source"]`)
	r.start()
	for i := range 20 {
		a := r.alert(from(fmt.Sprint("203.0.113.", i)))
		r.publish(a)
		r.await(a, "block-source done")
	}
}

func TestAnAlertWaitsForDockerNoLongerThanItIsFresh(t *testing.T) {
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
	left, err := os.ReadDir(filepath.Join(r.data(), "waiting"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOperatorsMayTryPolicies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	raw, err := event.Encode(r.alert(from("203.0.113.7")))
	require.NoError(t, err)
	var verdicts []containerguard.PolicyDecision
	require.NoError(t, r.ask(containerguard.VerbTest, containerguard.TestRequest{Alert: raw}, &verdicts))
	require.Equal(t, []containerguard.DecidedStep{{Kind: "block-source", Target: "address:203.0.113.7", Outcome: "act"}}, verdicts[0].Steps)
	require.Empty(t, r.blocked(), "nothing is done")
	require.Error(t, r.ask(containerguard.VerbTest, containerguard.TestRequest{Alert: json.RawMessage(`{}`)}, nil))
	require.ErrorContains(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: "web"}, nil), "there is no container")
	require.ErrorContains(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "web"}, nil), "not in quarantine")
	require.ErrorContains(t, r.ask(containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: "none"}, nil), "no evidence")
	require.Error(t, r.bus.Conn(bus.LogPipeline).Request(t.Context(), bus.VerbSubject(bus.ContainerGuard, host, containerguard.VerbIsolate), containerguard.IsolateRequest{}, nil), "operators only")
}

func TestBlocksOfOthersAreNotShortened(t *testing.T) {
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

func TestTheBusIsNeverBlocked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.needs = []string{"203.0.113.42:4222"}
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	a := r.alert(from("203.0.113.42"))
	r.publish(a)
	require.Contains(t, r.await(a, "block-source skipped").Reason, "203.0.113.42:4222, which the guard depends on")
}

func TestAnEmptyNameNamesNoContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	require.ErrorContains(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{}, nil), "no container is named")
	require.ErrorContains(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{}, nil), "no container is named")
}
