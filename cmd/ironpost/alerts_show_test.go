package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// The ids of the series below: they share no character, in either form.
const (
	bruteForce = "5cb70ef4ef63a1369645bf40ee8ccccb" // ls3q55hp in base32
	rootShell  = "6a70d35a11c0ffee1234569b1de2c44f" // njyngwqr
)

// publishSeries publishes a series of three alerts with an action each, and another alert.
func publishSeries(t *testing.T, b *bustest.Bus) {
	t.Helper()
	revision := func(n, count int, state string, change func(*event.Alert)) *event.Alert {
		return alert(fmt.Sprint("revision-", n), func(a *event.Alert) {
			a.Series, a.Revision, a.Update, a.Count, a.State, a.Trust = bruteForce, n, n > 0, count, state, event.TrustUnproven
			a.Members, a.Evidence = []string{"user:root", "user:\x1b[31mred"}, []string{fmt.Sprint("evidence ", n, "\x1b]0;owned\x07")}
			a.Origin, a.LogHost = &event.Origin{Transport: event.TransportSyslogUDP, Peer: "192.0.2.1:99"}, "web-7"
			change(a)
		})
	}
	publish(t, b, bus.LogPipeline, bus.Alerts,
		revision(0, 1, event.Open, func(a *event.Alert) {
			a.ID, a.Matched = bruteForce, []event.Matched{{Field: "count", Value: "5", Why: "event_count gte 5"}}
		}),
		revision(1, 7, event.Ongoing, func(a *event.Alert) { a.Trust, a.Escalated = event.TrustHost, true }),
		alert(rootShell, func(a *event.Alert) { a.Title, a.Source = "Root shell", nil }),
		revision(2, 600, event.Over, func(a *event.Alert) { a.Trust = event.TrustHost }),
	)
	publish(t, b, bus.ContainerGuard, bus.Actions,
		action("1", func(a *event.Action) {
			a.AlertID, a.Kind, a.Target, a.Undo = bruteForce, "block-source", "203.0.113.7", "ironpost blocklist del 203.0.113.7"
		}),
		action("2", func(a *event.Action) {
			a.AlertID, a.Kind, a.Phase, a.Undo = "revision-1", "notify", event.Failed, "ironpost x; rm -rf /"
		}),
		action("3", func(a *event.Action) { a.AlertID = rootShell }),
	)
}

func TestSeriesIsOneLine(t *testing.T) {
	b := bustest.New(t)
	publishSeries(t, b)
	for _, limit := range []string{"100", "0"} {
		r := on(t, b, "alerts", "--limit", limit)
		require.Equal(t, `ID        LAST SEEN         SEVERITY  SOURCE       COUNT  STATE  TRUST  TITLE
njyngwqr  2026-11-23 08:00  high      user:root    1      -      -      Root shell
ls3q55hp  2026-11-23 08:00  high      203.0.113.7  600    over   host   SSH brute force (line of web-7)
`, r.out)
	}
	require.Equal(t, 4, strings.Count(on(t, b, "alerts", "--json").out, "\n"), "programs get all")
	require.Equal(t, 2, strings.Count(on(t, b, "alerts", "--limit", "1").out, "\n"))
}

func TestShowPrintsAllOfASeries(t *testing.T) {
	b := bustest.New(t)
	publishSeries(t, b)
	r := on(t, b, "alerts", "show", "LS3Q")
	require.Equal(t, exitOK, r.code, r.err)
	require.NotContains(t, r.out, "\x1b")
	for _, want := range []string{
		"ls3q55hp  high  SSH brute force", bruteForce, "over", "600", "syslog_udp, from 192.0.2.1:99", "web-7", "host",
		`user:root, user:\x1b[31mred`, "event_count gte 5", "escalated",
		`evidence 0\x1b]0;owned\x07`, "evidence 1", "evidence 2", "block-source", "ironpost blocklist del 203.0.113.7", "ironpost blocklist check 203.0.113.7",
	} {
		require.Contains(t, r.out, want)
	}
	require.NotContains(t, r.out, "rm -rf")
	for line := range strings.Lines(r.out) {
		require.LessOrEqual(t, len(line), 81, line)
	}

	for _, id := range []string{"ls3q55hp", bruteForce, bruteForce[:5], "revision-1"} {
		var out shownAlert
		r := on(t, b, "alerts", "show", "--json", id)
		require.NoError(t, json.Unmarshal([]byte(r.out), &out), "%s: %s", id, r.err)
		require.Equal(t, bruteForce, out.ID)
		require.Len(t, out.Alerts, 3, id)
		require.Len(t, out.Actions, 2, id)
	}
	require.Equal(t, 2, strings.Count(on(t, b, "actions", "--json", "--alert", "ls3q").out, "\n"))
}

func TestIDsThatNameNoneOrSeveral(t *testing.T) {
	b := bustest.New(t)
	publishSeries(t, b)
	r := on(t, b, "alerts", "show", "nothing")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, `no stored alert has an id that begins with "nothing"`)

	publish(t, b, bus.LogPipeline, bus.Alerts, alert("5cffffffffffffffffffffffffffffff", func(a *event.Alert) { a.Title = "another\x1b[2J" }))
	r = on(t, b, "alerts", "show", "5c")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "2 alerts have an id that begins with")
	require.Contains(t, r.err, "ls3q55hp")
	require.Contains(t, r.err, `another\x1b[2J`)
}

// A module cannot hide the alerts of another by the id of their series.
func TestSeriesOfOneIDFromTwoModulesAreTwo(t *testing.T) {
	b := bustest.New(t)
	publishSeries(t, b)
	publish(t, b, bus.SBOMScanner, bus.Alerts, alert("forged", func(a *event.Alert) {
		a.Module, a.Series, a.Revision, a.Update, a.Severity, a.Title = bus.SBOMScanner, bruteForce, 9, true, event.Info, "nothing"
	}))
	r := on(t, b, "alerts")
	require.Contains(t, r.out, "SSH brute force")
	require.Contains(t, r.out, "nothing")
	r = on(t, b, "alerts", "show", bruteForce)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "log-pipeline on testhost")
	require.Contains(t, r.err, "sbom-scanner on testhost")

	publish(t, b, bus.SBOMScanner, bus.Alerts, alert("posing", func(a *event.Alert) { a.Series, a.Title = bruteForce, "posing as another" }))
	r = on(t, b, "alerts")
	require.Contains(t, r.out, "SSH brute force")
	require.NotContains(t, r.out, "posing")
	require.Contains(t, r.err, "warning: 1 messages of IRONPOST_ALERTS cannot be decoded")
}
