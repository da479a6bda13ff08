package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// titles returns the title of each line of JSON.
func titles(t *testing.T, out string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(out) {
		var a event.Alert
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		all = append(all, a.Title)
	}
	return all
}

func TestAlertsAreFiltered(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, bus.LogPipeline, bus.Alerts,
		alert("1", func(a *event.Alert) { a.Title = "one" }),
		alert("2", func(a *event.Alert) { a.Title = "two"; a.Severity = event.Low; a.Source.IP = "198.51.100.9" }),
		alert("3", func(a *event.Alert) {
			a.Title = "three"
			a.Severity = event.Critical
			a.Rule = event.Rule{ID: "rule-2", Title: "Log tampering"}
			a.Source = nil
		}),
		alert("4", func(a *event.Alert) {
			a.Title = "four"
			a.Source.IP = "::ffff:203.0.113.9"
			a.Trust = event.TrustUnproven
		}),
	)
	tests := map[string][]string{
		"":                         {"one", "two", "three", "four"},
		"--severity high":          {"one", "three", "four"},
		"--severity critical":      {"three"},
		"--source 203.0.113.0/24":  {"one", "four"},
		"--source 198.51.100.9":    {"two"},
		"--rule rule-2":            {"three"},
		"--rule tamper":            {"three"},
		"--host testhost":          {"one", "two", "three", "four"},
		"--host other":             nil,
		"--limit 2":                {"three", "four"},
		"--limit 0":                {"one", "two", "three", "four"},
		"--since 1h":               {"one", "two", "three", "four"},
		"--since 2100-01-01":       nil,
		"--severity low --limit 1": {"four"},
	}
	for flags, want := range tests {
		r := on(t, b, append([]string{"alerts", "--json"}, strings.Fields(flags)...)...)
		require.Equal(t, 0, r.code, r.err)
		require.Equal(t, want, titles(t, r.out), flags)
	}
	r := on(t, b, "alerts", "--host", "other", "--since", "2026-11-23T08:00:00Z")
	require.Equal(t, result{err: "no such alerts since 2026-11-23T08:00:00Z\n"}, r)
	require.Equal(t, "no such alerts\n", on(t, b, "alerts", "--host", "other", "--since", "all").err)
	r = on(t, b, "alerts", "--limit", "2")
	require.Equal(t, `ID  LAST SEEN         SEVERITY  SOURCE              COUNT  STATE  TRUST     TITLE
3   2026-11-23 08:00  critical  user:root           1      -      -         three
4   2026-11-23 08:00  high      ::ffff:203.0.113.9  1      -      unproven  four
`, r.out)
}

func TestHostileTextDoesNotReachTheTerminal(t *testing.T) {
	b := bustest.New(t)
	evil := "\x1b]0;owned\x07\u202e\u009b31m\nfake line"
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("1", func(a *event.Alert) {
		a.Title, a.User, a.Source.IP, a.Rule.Title = evil, evil, evil, evil
	}))
	publish(t, b, bus.ContainerGuard, bus.Actions, action("1", func(a *event.Action) {
		a.Target, a.Reason, a.Policy, a.Kind, a.Error = evil, evil, evil, evil, evil
	}))
	daemon(t, b, healthOf(event.ModuleHealth{Name: evil, Host: evil, Enabled: true, Status: event.Degraded, Reasons: []string{evil}}))
	for _, args := range [][]string{{"alerts"}, {"actions"}, {"status"}, {"audit", "verify", "--path", "/" + evil}, {"--socket", evil, "status"}, {evil}} {
		for _, more := range [][]string{nil, {"--json"}} {
			r := on(t, b, append(args, more...)...)
			for _, text := range []string{r.out, r.err} {
				require.NotContains(t, text, "\x1b", args)
				require.NotContains(t, text, "\u202e", args)
				require.NotContains(t, text, "\u009b", args)
				require.NotContains(t, text, "\x07", args)
				require.NotContains(t, text, "\nfake", args)
			}
		}
	}
	r := on(t, b, "alerts", "--json")
	require.Equal(t, []string{evil}, titles(t, r.out), "the value is the same")
}

func TestActionsAreFiltered(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, bus.ContainerGuard, bus.Actions,
		action("1", nil),
		action("2", func(a *event.Action) { a.Phase = event.Failed; a.Error = "no such container" }),
		action("3", func(a *event.Action) { a.Kind = "kill"; a.Policy = "p2"; a.DryRun = true }),
	)
	for flags, want := range map[string]int{"": 3, "--phase failed": 1, "--kind kill": 1, "--policy p1": 2, "--host x": 0, "--limit 1": 1} {
		r := on(t, b, append([]string{"actions", "--json"}, strings.Fields(flags)...)...)
		require.Equal(t, 0, r.code, r.err)
		require.Equal(t, want, strings.Count(r.out, "\n"), flags)
	}
	r := on(t, b, "actions")
	require.Contains(t, r.out, "no such container")
	require.Contains(t, r.out, "dry run: because")
}

func TestFollowShowsEachAlertOnceAndInOrder(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("0", func(a *event.Alert) { a.Title = "0" }))
	ctx, cancel := context.WithCancel(t.Context()) // a slow disk takes its time for 200 alerts
	defer cancel()
	var out, errs testenv.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"--socket", b.Socket(), "alerts", "--follow", "--json"}, &out, &errs)
	}()
	require.Eventually(t, func() bool { return out.String() != "" }, patience, time.Millisecond)
	const n = 200
	want := []string{"0"}
	for i := range n {
		title := strings.Repeat("x", i%7) + string(rune('a'+i%26))
		want = append(want, title)
		publish(t, b, bus.LogPipeline, bus.Alerts, alert("n"+string(rune('a'+i%26))+strings.Repeat("i", i), func(a *event.Alert) { a.Title = title }))
	}
	require.Eventually(t, func() bool { return strings.Count(out.String(), "\n") == n+1 }, patience, 5*time.Millisecond, errs.String())
	cancel()
	require.Equal(t, exitOK, <-done)
	require.Equal(t, want, titles(t, out.String()))
}

func TestUndecodableMessagesAreReported(t *testing.T) {
	b := bustest.New(t)
	raw := b.Raw(bus.LogPipeline)
	require.NoError(t, raw.Publish(bus.AlertSubject(bus.LogPipeline, b.Host()), []byte("\x1b[31mno JSON")))
	require.NoError(t, raw.Flush())
	publish(t, b, bus.LogPipeline, bus.Alerts, alert("1", nil))
	r := on(t, b, "alerts")
	require.Equal(t, exitOK, r.code)
	require.Equal(t, 2, strings.Count(r.out, "\n"))
	require.Contains(t, r.err, "1 messages of IRONPOST_ALERTS cannot be decoded as alerts")
}
