//go:build unix

package containerguard_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// childVar makes the test binary the child to be killed, which runs a guard and a bus.
// Its value is their directory and the webhook's URL, separated by a space.
const childVar = "IRONPOST_GUARD_CHILD"

func TestNotificationsAndCorroborationSurviveAKill(t *testing.T) {
	if job := os.Getenv(childVar); job != "" {
		dir, hook, _ := strings.Cut(job, " ")
		guardToBeKilled(t, dir, hook)
		return
	}
	t.Parallel()
	hook, got, answer := newSlowHook(t)
	dir := t.TempDir()
	killGuard(t, dir, hook)
	require.Empty(t, got, "the webhook has accepted nothing")
	answer()

	r := crashRig(t, dir, hook)
	// A kill may lose an acknowledgement, then the alert is redelivered. Not so here.
	_, err := r.bus.Raw(bus.Daemon).Request("$JS.API.STREAM.PURGE."+string(bus.Alerts), nil, patience)
	require.NoError(t, err)
	s := r.start()
	var m struct{ Alert event.Alert }
	require.Eventually(t, func() bool { return len(got) > 0 }, patience, tick, "the notification is sent after the kill")
	require.NoError(t, json.Unmarshal(<-got, &m))
	require.Equal(t, "to-notify", m.Alert.ID)
	done := r.await(&m.Alert, "notify done")
	require.Equal(t, "notify", done.Policy)
	require.NoError(t, done.Validate())
	second := r.alert(func(a *event.Alert) { from("203.0.113.7")(a); a.ID, a.Rule.ID = "second-alert", "two" })
	r.publish(second)
	r.await(second, "block-source done")
	require.NoError(t, s.stop())
	require.Equal(t, 1, strings.Count(strings.Join(briefs(r.actions()), ","), "notify done"))
}

// newSlowHook returns a webhook that answers no request until answer is called, and
// then sends the bodies to got.
func newSlowHook(t *testing.T) (url string, got chan []byte, answer func()) {
	t.Helper()
	got = make(chan []byte, 100)
	var quick atomic.Bool
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if !quick.Load() {
			<-req.Context().Done()
			return
		}
		got <- body
	}))
	t.Cleanup(hook.Close)
	return hook.URL, got, func() { quick.Store(true) }
}

func crashRig(t *testing.T, dir, hook string) *rig {
	t.Helper()
	r := rigAt(t, dir)
	r.cfg.WebhookURL = hook
	r.policy("notify", `actions = ["notify"]`, `match.rules = ["notified"]`)
	r.policy("corroborated", `actions = ["block-source"]`, "[policy.match]", `rules = ["one", "two"]`, "[policy.require]", "alerts = 2", `within = "1h"`)
	return r
}

// killGuard starts the child and kills it when it has acknowledged its alerts.
func killGuard(t *testing.T, dir, hook string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNotificationsAndCorroborationSurviveAKill$", "-test.v")
	cmd.Env = append(os.Environ(), childVar+"="+dir+" "+hook)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var output []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		output = append(output, lines.Text())
		if lines.Text() == acknowledged {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.ErrorContains(t, cmd.Wait(), "signal: killed", strings.Join(output, "\n"))
}

const acknowledged = "every alert is acknowledged"

func guardToBeKilled(t *testing.T, dir, hook string) {
	t.Helper()
	r := crashRig(t, dir, hook)
	s := r.start()
	notified := r.alert(func(a *event.Alert) { a.ID, a.Rule.ID = "to-notify", "notified" })
	first := r.alert(func(a *event.Alert) { from("203.0.113.7")(a); a.ID, a.Rule.ID = "first-alert", "one" })
	r.publish(notified, first)
	r.await(notified, "notify intended")
	require.Contains(t, r.await(first, "block-source skipped").Reason, "1 of 2")
	admin := r.bus.Admin()
	s.eventually(func() bool {
		states, err := admin.StreamStates(t.Context(), r.bus.Durables())
		require.NoError(t, err)
		for _, state := range states {
			for _, d := range state.Durables {
				if strings.HasPrefix(d.Name, bus.ContainerGuard) && (d.Pending > 0 || d.AckPending > 0) {
					return false
				}
			}
		}
		return true
	})
	fmt.Println(acknowledged)
	select {} // until killed
}
