package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

func TestAlarmsSayWhatToDoAndHowMuch(t *testing.T) {
	t.Parallel()
	table := operationsAlarms()
	for _, c := range []struct {
		module, topic, text string
		advice, amount      string
	}{
		{bus.EBPFEngine, "", "12 blocks are wanted and nothing enforces them: no interface is watched", "enable [ebpf]", "12"},
		{"bus", "", "7 blocks are wanted and nothing enforces them: no packet engine runs on this host (ebpf.enabled), and none of another host or edge answers", "enable [ebpf]", "7"},
		{bus.LogPipeline, "", "3 rule files not loaded, among them /etc/x.yml:1:1: no title", "correct the files named", "3"},
		{bus.LogPipeline, "", "file:/var/log/auth.log is 45 s behind: its lines wait", "see what it logs", "45"},
		{bus.LogPipeline, "", "/var/log/a.log was removed or written anew while it was not read, found at 2026-11-30T22:00:00Z: lines after its byte 7 may be lost, how many is unknown", "keep rotated files", "unknown"},
		{bus.LogPipeline, "", "/var/log/auth.log may not be read: permission denied", "the group adm", ""},
		{bus.LogPipeline, "", "/var/log/x cannot be read: input/output error", "the group adm", ""},
		{bus.LogPipeline, "checkpoint write", "write /x: no space left on device", "free disk space", ""},
		{bus.ContainerGuard, "2 docker", "containers are not acted on: connection refused", "start Docker", ""},
		{"configuration", "", "reload refused at 2026-11-30T22:00:00Z, what was in force before stays: x.toml:1:1: y", "config validate", ""},
		{bus.ActionCollector, "", "failed: boom", "report a panic", ""},
		{bus.ActionCollector, "", "a text that no row has", "", ""},
	} {
		advice, amount := table.find(c.module, event.Reason{Topic: c.topic, Text: c.text})
		require.Contains(t, advice, c.advice, c.text)
		require.Equal(t, c.advice == "", advice == "", c.text)
		require.Equal(t, c.amount, amount, c.text)
		require.NotContains(t, advice, "`")
	}
}

func TestEveryRowOfTheAlarmsIsRead(t *testing.T) {
	t.Parallel()
	table := operationsAlarms()
	for _, module := range []string{"", "bus", "metrics", "configuration", bus.Forwarder, bus.EBPFEngine, bus.LogPipeline, bus.SBOMScanner, bus.ContainerGuard, bus.ActionCollector} {
		require.NotEmpty(t, table[module], module)
		for _, row := range table[module] {
			require.NotEmpty(t, row.advice, module)
			require.NotRegexp(t, `as above|\babove$|rows? of the bus|^as it says`, row.advice, "status shows it without the table")
			require.NotZero(t, len(row.texts)+len(row.topics), "%s: a row of which nothing can be found: %s", module, row.advice)
		}
	}
}

func TestStatusExplainsItsReasons(t *testing.T) {
	daemonSays := event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true, Status: event.Degraded, Since: began,
		Reasons: []string{"2 rule files not loaded, among them a\x1b.yml"},
		Details: []event.Reason{{Topic: "rules", Status: event.Degraded, Text: "2 rule files not loaded, among them a\x1b.yml", Since: began}},
	}
	b := newStatusBus(t, daemonSays, event.ModuleHealth{Name: bus.SBOMScanner, Since: began, Reasons: []string{"disabled in the configuration"}})
	r := on(t, b, "status")
	require.Equal(t, exitDegraded, r.code, r.err)
	require.Contains(t, r.out, "\nlog-pipeline on testhost\n  since 2026-11-23T08:00:00Z: 2 rule files not loaded, among them a")
	require.Contains(t, r.out, "    do: correct the files named, reload\n")
	require.NotContains(t, r.out, "\x1b")
	require.NotContains(t, r.out, "sbom-scanner on", "off says all")

	r = on(t, b, "status", "--json")
	for _, want := range []string{`"status":"off"`, `"amount":"2"`, `"advice":"correct the files named, reload"`, `"since":"2026-11-23T08:00:00Z"`} {
		require.Contains(t, r.out, want)
	}
}
