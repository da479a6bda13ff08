package containerguard_test

import (
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// simulate returns what the policies of r would have done about the alerts in the stream.
func (r *rig) simulate(change func(*containerguard.SimulationOptions)) containerguard.SimulationResult {
	r.t.Helper()
	set, err := policy.Load(r.cfg.PolicyPath)
	require.NoError(r.t, err)
	o := containerguard.SimulationOptions{Config: r.cfg, Policies: set}
	if change != nil {
		change(&o)
	}
	s := containerguard.NewSimulation(o)
	require.NoError(r.t, r.bus.Admin().History(r.t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		a, err := containerguard.DecodeAlert(d)
		require.NoError(r.t, err)
		require.NoError(r.t, s.Add(r.t.Context(), a, d.StoredAt))
		return true
	}))
	return s.Result()
}

// ordered returns the actions but the parts of an isolation, which are reported besides it.
func (r *rig) ordered() []event.Action {
	r.t.Helper()
	actions := r.actions()
	isolations := map[string]bool{}
	for _, a := range actions {
		isolations[a.AlertID+a.Policy] = isolations[a.AlertID+a.Policy] || a.Kind == "isolate"
	}
	return slices.DeleteFunc(actions, func(a event.Action) bool {
		return isolations[a.AlertID+a.Policy] && (a.Kind == "pause" || a.Kind == "disconnect")
	})
}

// answered publishes an alert and waits until the guard has answered it.
func (r *rig) answered(s *running, a *event.Alert) {
	r.t.Helper()
	before := s.count("alerts") + s.count("alert_updates")
	steps := len(r.ordered()) + int(s.count("skipped_unreported"))
	r.publish(a)
	s.eventually(func() bool { return s.count("alerts")+s.count("alert_updates") > before })
	ok := eventually(func() bool {
		actions := r.ordered()
		return len(actions)+int(s.count("skipped_unreported")) > steps && !unfinished(actions, s.count("orders"))
	})
	require.True(r.t, ok, "%v of %d orders", briefs(r.ordered()), s.count("orders"))
}

// unfinished reports whether an action is intended, or a container was ordered to be acted on, and the outcome is not reported yet.
func unfinished(actions []event.Action, orders uint64) bool {
	ended, carriedOut := map[string]bool{}, map[string]bool{}
	key := func(a event.Action) string { return a.AlertID + a.Policy + a.Kind + a.Target }
	for _, a := range actions {
		if a.Phase == event.Intended {
			continue
		}
		ended[key(a)] = true
		if a.Phase == event.Done && a.Container != nil { // reported again with the evidence
			carriedOut[key(a)] = true
		}
	}
	return uint64(len(carriedOut)) != orders || slices.ContainsFunc(actions, func(a event.Action) bool { return !ended[key(a)] })
}

// getFrom gets a page from an address of the far side, which is left with its own.
func (r *rig) getFrom(s *running, inFar []string, ip, server, port string) {
	r.t.Helper()
	ipCommand := func(args ...string) {
		args = append(append(inFar[1:], "ip"), args...)
		out, err := exec.Command(inFar[0], args...).CombinedOutput()
		require.NoError(r.t, err, "%s: %s", args, out)
	}
	ipCommand("addr", "add", ip+"/24", "dev", "far")
	ipCommand("route", "add", server+"/32", "dev", "far", "src", ip)
	s.eventually(func() bool { return getsShop(inFar, server, port) })
	ipCommand("route", "del", server+"/32", "dev", "far")
}

// The simulation names exactly what the guard did about the same alerts to real containers and to the blocklist, for how
// long, and why it did not do the rest.
func TestSimulationNamesWhatTheGuardDid(t *testing.T) {
	const here = "203.0.113.1"
	d := testenv.DockerdHere(t)
	inFar := farSide(t, attacker, here)
	attackSSH := connectIn(t, inFar, here, "22")
	r := newRig(t)
	r.cfg.DockerSocket = d.Socket
	r.cfg.MaxPerMinute, r.cfg.MaxSharePercent, r.cfg.MaxBlocks, r.cfg.MaxBlocksPerSource = 3, 60, 5, 2
	r.cfg.Protected, r.cfg.NeverBlock = []string{"db"}, []string{"198.51.100.0/24"}
	r.policy("1-two", "priority = 1", `actions = ["isolate"]`, "continue = true", "[policy.match]", `tags = ["two"]`, "[policy.require]", "alerts = 2", `within = "1h"`)
	r.policy("2-dry", "priority = 2", `actions = ["pause", "block-source"]`, "dry_run = true", `match.rules = ["dry"]`)
	r.policy("3-pause", "priority = 3", `actions = ["pause", "notify"]`, `ttl = "1h"`, `match.rules = ["pause"]`)
	r.policy("4-all", "priority = 4", `actions = ["isolate", "block-source"]`, `block_ttl = "2h"`, `ttl = "4h"`, `match.severity = "high"`)
	ids := map[string]string{}
	ports := map[string]string{"web": "8080", "job": "8081", "queue": "8082"}
	for _, name := range []string{"web", "api", "db", "job", "queue", "mail"} {
		o := testenv.ContainerOptions{Name: name}
		if port := ports[name]; port != "" {
			o.Cmd, o.Publish = shop("80"), map[string]string{"80/tcp": here + ":" + port}
		}
		ids[name] = d.Run(t, o)
	}
	s := r.start().docker()
	for name, ip := range map[string]string{"web": "203.0.113.22", "job": "203.0.113.23", "queue": "203.0.113.24"} {
		r.getFrom(s, inFar, ip, here, ports[name])
	}
	of := func(rule, container, ip string, change func(*event.Alert)) {
		t.Helper()
		r.answered(s, r.alert(func(a *event.Alert) {
			a.Rule = event.Rule{ID: rule, Title: rule, Level: event.High, Tags: []string{rule}}
			if container != "" {
				a.Container = &event.Container{ID: ids[container], Name: container}
			}
			if ip != "" {
				from(ip)(a)
			}
			if change != nil {
				change(a)
			}
		}))
	}
	output := func(id string) func(*event.Alert) {
		return func(a *event.Alert) {
			a.Trust, a.Origin, a.Service = event.TrustContainer, &event.Origin{Transport: event.TransportDocker, Container: ids[id]}, "webserver"
		}
	}
	of("dry", "web", "203.0.113.20", nil)
	of("pause", "web", "", nil)
	of("pause", "web", "", nil)                          // isolated already
	of("any", "web", "203.0.113.22", output("api"))      // isolates what is paused; connections to it are known until then
	of("any", "web", "203.0.113.21", nil)                // isolated already
	of("any", "db", "203.0.113.21", nil)                 // protected, and in the cooldown
	of("two", "api", "198.51.100.7", output("api"))      // one of two, and never blocked
	of("any", "job", "203.0.113.23", output("api"))      // two blocks by one source …
	of("any", "queue", "203.0.113.24", output("api"))    // … and no third; the cap of a minute
	of("any", "", "203.0.113.28", output("api"))         // the container to which it connected is not known
	of("any", "queue", "10.0.0.1", nil)                  // the cap of a minute
	of("any", "mail", "203.0.113.25", nil)               // beyond it
	of("any", "", "203.0.113.26", func(a *event.Alert) { // too old
		a.LastSeen = a.LastSeen.Add(-time.Hour)
	})
	of("any", "", "203.0.113.27", func(a *event.Alert) { unprovenSSH(a); a.Service = "" })
	attackSSH()()
	of("any", "", "", unprovenSSH)
	sameAgain := func(a *event.Alert) { unprovenSSH(a); a.Trust, a.DedupKey = event.TrustPeer, "later" }
	of("any", "", "", sameAgain) // stronger than the cooldown

	got := r.simulate(func(o *containerguard.SimulationOptions) { o.Running = len(ids) })
	require.Equal(t, 16, got.Alerts)
	require.Zero(t, got.Unlisted)
	requireSame(t, r.ordered(), got.Steps)
}

// outcomes are what was done and not done: "policy kind target" and the outcome → when it ends.
type outcomes map[string]time.Time

// requireSame requires the same of the guard's actions and of the simulation: each is in the other.
func requireSame(t *testing.T, actions []event.Action, steps []containerguard.SimulatedStep) {
	t.Helper()
	live, simulated := outcomes{}, outcomes{}
	for _, a := range actions {
		key := fmt.Sprintf("%s %s %s ", a.Policy, a.Kind, a.Target)
		switch {
		case a.Phase == event.Done && a.ExpiresAt != nil:
			live.latest(key+"act", *a.ExpiresAt)
		case a.Phase == event.Done:
			live.latest(key+"act", time.Time{})
		case a.Phase == event.Skipped && a.DryRun:
			live.latest(key+"not done", time.Time{})
		case a.Phase == event.Skipped:
			live.latest(key+a.Reason, time.Time{})
		case a.Phase != event.Intended:
			require.Fail(t, "unexpected", "%+v", a)
		}
	}
	for _, s := range steps {
		key := fmt.Sprintf("%s %s %s ", s.Policy, s.Action, s.Target)
		switch s.Outcome {
		case containerguard.SimulatedAct, containerguard.SimulatedIfConnected:
			simulated.latest(key+"act", s.Until)
		case containerguard.SimulatedSkip:
			simulated.latest(key+s.Reason, time.Time{})
		default:
			simulated.latest(key+"not done", time.Time{})
		}
	}
	require.Greater(t, len(live), 15)
	require.Equal(t, strings.Join(slices.Sorted(maps.Keys(live)), "\n"), strings.Join(slices.Sorted(maps.Keys(simulated)), "\n"))
	for key, until := range live {
		require.WithinDuration(t, until, simulated[key], 10*time.Second, key)
	}
}

var times = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z`)

// latest keeps when what key names ends. Times in reasons, such as that of a cooldown, differ by the delay of the alert.
func (o outcomes) latest(key string, until time.Time) {
	key = times.ReplaceAllString(key, "…")
	if until.After(o[key]) || o[key].IsZero() {
		o[key] = until
	}
}
