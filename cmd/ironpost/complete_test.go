package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

// The shell is offered what there is: alerts, containers, rules and sections; what an attacker named is escaped.
func TestCompletionKnowsWhatThereIs(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("1", nil), alert("2", func(a *event.Alert) {
		a.Title, a.DedupKey = "evil\x1b]0;owned\x07\ntitle", "k2"
	}))
	guard(t, b, containerguard.VerbQuarantine, containerguard.QuarantineReply{Quarantined: []containerguard.Quarantined{{Name: "web", Kind: "isolate", State: "held"}}})
	complete := func(args ...string) string {
		t.Helper()
		r := call(t, append(append([]string{"__complete", "--socket", b.Socket()}, args...), "")...)
		require.Equal(t, exitOK, r.code, r.err)
		require.Contains(t, r.out, ":4\n", "no files")
		require.NotContains(t, r.out, "\x1b")
		return r.out
	}
	for _, args := range [][]string{{"alerts", "show"}, {"actions", "--alert"}} {
		require.Contains(t, complete(args...), event.ShortID("1")+"\thigh SSH brute force\n")
		require.Contains(t, complete(args...), `evil\x1b]0;owned\x07 title`)
	}
	require.Contains(t, complete("release"), "web\tisolate, held\n")
	require.Contains(t, complete("evidence", "show"), "web\t")
	require.NotContains(t, complete("release", "web"), "held", "one container")
	require.Contains(t, complete("alerts", "--rule"), "\tRoot Shell By Sudo\n")
	require.Contains(t, complete("config", "show", "--section"), "log_pipeline.storage\n")
	r := call(t, "__complete", "--socket", t.TempDir()+"/none", "alerts", "show", "")
	require.Equal(t, exitOK, r.code, "without the daemon nothing is offered")
}
