package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

// guard answers a verb as the container guard would.
func guard(t testing.TB, b *bustest.Bus, verb string, reply any) {
	t.Helper()
	stop, err := b.Conn(bus.ContainerGuard).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{verb: func(context.Context, []byte) (any, error) { return reply, nil }},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
}

func TestQuarantineWaiting(t *testing.T) {
	b := bustest.New(t)
	step := containerguard.WaitingStep{
		Alert: "0123456789abcdef", Series: "fedcba9876543210", Title: "web shell", Severity: event.High, Trust: event.TrustContainer, Policy: "p",
		Kind: "isolate", Target: "container:4f6c1b2a9d3e", Name: "web\x1b[2J", Need: "room", Reason: "cap: 3 containers are isolated",
		Since: began, Until: began.Add(time.Hour),
	}
	guard(t, b, containerguard.VerbWaiting, containerguard.WaitingReply{
		Waiting: []containerguard.WaitingStep{step}, Counts: map[string]int{"room": 3}, Incomplete: 2,
	})
	r := on(t, b, "quarantine", "waiting")
	require.Equal(t, exitOK, r.code, r.err)
	lines := strings.Split(r.out, "\n")
	require.Equal(t, []string{"ALERT", "ACTION", "TARGET", "NEEDS", "STRENGTH", "SINCE", "WHEN", "UNTIL", "POLICY", "WHY"}, strings.Fields(lines[0]))
	require.Equal(t,
		strings.Fields("73olvgdw isolate web\\x1b[2J room container high 2026-11-23T08:00:00Z - 2026-11-23T09:00:00Z p cap: 3 containers are isolated"),
		strings.Fields(lines[1]))
	require.Contains(t, r.err, "and 2 more")

	r = on(t, b, "quarantine", "waiting", "--json")
	require.Contains(t, r.out, `"counts":{"room":3},"incomplete":2`)
}

func TestRemovedContainerIsListedAsRemoved(t *testing.T) {
	b := bustest.New(t)
	guard(t, b, containerguard.VerbQuarantine, containerguard.QuarantineReply{Quarantined: []containerguard.Quarantined{
		{Container: strings.Repeat("a", 64), Name: "web", Kind: "isolate", State: "held", Since: began, Removed: began.Add(time.Minute)},
	}})
	r := on(t, b, "quarantine", "list")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "web   aaaaaaaaaaaa  isolate  removed")
}

// What the guard answers is printed as it is; call checks it against the schema.
func TestAnswersOfTheGuardAreJSON(t *testing.T) {
	b := bustest.New(t)
	id := strings.Repeat("a", 64)
	held := containerguard.Quarantined{Container: id, Name: "web", Kind: "isolate", State: "held", Since: began}
	for verb, tt := range map[string]struct {
		reply any
		args  []string
	}{
		containerguard.VerbIsolate:    {held, []string{"isolate", "web", "--json"}},
		containerguard.VerbRelease:    {containerguard.ReleaseReply{Container: id, Name: "web"}, []string{"release", "web", "--json"}},
		containerguard.VerbApprove:    {containerguard.ApproveReply{Container: id, Name: "web", Kind: "isolate", State: "held"}, []string{"approve", "3f9a", "--json"}},
		containerguard.VerbNotify:     {containerguard.NotifyReply{Notifiers: []containerguard.NotifyTest{{Notifier: "webhook", Sent: true, DurationMS: 12}}}, []string{"notify", "test", "--json"}},
		containerguard.VerbQuarantine: {containerguard.QuarantineReply{Quarantined: []containerguard.Quarantined{held}}, []string{"quarantine", "list", "--json"}},
		containerguard.VerbEvidence:   {containerguard.EvidenceReply{Action: "a1", Manifest: []byte(`{"name":"web"}`)}, []string{"evidence", "show", "web", "--json"}},
	} {
		stop, err := b.Conn(bus.ContainerGuard).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
			Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3",
			Verbs: map[string]bus.Verb{verb: func(context.Context, []byte) (any, error) { return tt.reply, nil }},
		})
		require.NoError(t, err)
		if verb == containerguard.VerbIsolate || verb == containerguard.VerbRelease || verb == containerguard.VerbApprove || verb == containerguard.VerbNotify {
			stop()
			stop, err = b.Conn(bus.ContainerGuard).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
				Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3",
				Acts: map[string]bus.Act{verb: func(context.Context, string, []byte) (any, error) { return tt.reply, nil }},
			})
			require.NoError(t, err)
		}
		r := on(t, b, tt.args...)
		require.Equal(t, exitOK, r.code, r.err)
		require.Contains(t, r.out, "web", verb)
		stop()
	}
}
