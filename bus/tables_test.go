package bus_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	require.Equal(t, "ironpost.alerts.log-pipeline.web-1", bus.AlertSubject(bus.LogPipeline, "web-1"))
	require.Equal(t, "ironpost.packets.ebpf-engine.web-1", bus.PacketSubject(bus.EBPFEngine, "web-1"))
	require.Equal(t, "ironpost.actions.container-guard.web-1", bus.ActionSubject(bus.ContainerGuard, "web-1"))
	require.Equal(t, "ironpost.dlq.log-pipeline.web-1", bus.DLQSubject(bus.LogPipeline, "web-1"))
	require.Equal(t, "ironpost.svc.daemon.web-1.status", bus.VerbSubject(bus.Daemon, "web-1", "status"))
}

func TestHostToken(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                 "localhost",
		"web-1":            "web-1",
		"Web.Example.ORG":  "web-example-org",
		"a b*c>d\x00e":     "a-b-c-d-e",
		"bücher":           "b-cher",
		"already-a-token9": "already-a-token9",
	} {
		require.Equal(t, want, bus.HostToken(in), "%q", in)
	}
}

func TestStreamsFitTheStore(t *testing.T) {
	t.Parallel()
	limits := bus.Limits{MaxStoreBytes: 1 << 30, Replicas: 1}
	var sum int64
	for _, s := range bus.Streams(limits) {
		sum += s.MaxBytes
		require.Equal(t, bus.DuplicatesWindow, s.Duplicates)
		require.Equal(t, s.Republish != "", s.Name != bus.DLQ)
		require.Equal(t, s.DiscardNew, s.Synced)
	}
	for _, b := range bus.Buckets(limits) {
		sum += b.MaxBytes
	}
	require.LessOrEqual(t, sum, limits.MaxStoreBytes*9/10, "batches in flight need room")
}

func TestDurablesOfEnabledModulesOnly(t *testing.T) {
	t.Parallel()
	require.Empty(t, bus.Durables("web-1", nil, bus.InFlight{}))
	got := bus.Durables("web-1", map[string]bool{bus.ContainerGuard: true, bus.LogPipeline: false}, bus.InFlight{})
	require.Equal(t, []bus.Durable{{
		Stream: bus.Alerts, Name: "container-guard_web-1", Module: bus.ContainerGuard,
		Filter: []string{"ironpost.alerts.*.web-1"}, MaxAckPending: 16_384, FromNew: true,
	}}, got)
	d, ok := bus.DurableOf(bus.LogPipeline, bus.Packets, "web-1", bus.InFlight{Packets: 7})
	require.True(t, ok)
	require.Equal(t, 7, d.MaxAckPending)
}

// The durables of a sink exist only where it is configured, and get the records of every host.
func TestDurablesOfConfiguredSinksOnly(t *testing.T) {
	t.Parallel()
	enabled := map[string]bool{bus.ActionCollector: true}
	require.Len(t, bus.Durables("web-1", enabled, bus.InFlight{}), 1)
	enabled[bus.SinkName(bus.ActionCollector, bus.SinkPostgreSQL)] = true
	got := bus.Durables("web-1", enabled, bus.InFlight{})
	require.Len(t, got, 3)
	require.Equal(t, "action-collector-postgres-actions_web-1", got[2].Name)
	require.Equal(t, bus.Durable{
		Stream: bus.Alerts, Name: "action-collector-postgres-alerts_web-1", Module: bus.ActionCollector, Sink: bus.SinkPostgreSQL,
		Filter: []string{"ironpost.alerts.*.*"}, MaxAckPending: 16_384,
	}, got[1])
	own, ok := bus.DurableOf(bus.ActionCollector, bus.Actions, "web-1", bus.InFlight{})
	require.True(t, ok)
	require.Equal(t, "action-collector-audit_web-1", own.Name)
	sink, ok := bus.SinkDurable(bus.ActionCollector, bus.SinkPostgreSQL, bus.Actions, "web-1", bus.InFlight{})
	require.True(t, ok)
	require.Equal(t, []string{"ironpost.actions.*.*"}, sink.Filter)
}

// No module may publish what is not its own: another module's or host's subject,
// the administration of streams, or another module's durable.
func TestPermissionsAreMinimal(t *testing.T) {
	t.Parallel()
	for _, m := range bus.ModuleNames() {
		p := bus.Permissions(m, "web-1")
		require.Equal(t, "_INBOX_"+m+"_web-1", p.Inbox)
		for _, subject := range p.Publish {
			require.True(t, allowedToModule(m, subject), "%s may publish %s", m, subject)
		}
		for _, subject := range p.Subscribe {
			require.True(t, strings.HasPrefix(subject, p.Inbox) || strings.HasPrefix(subject, "$SRV.") || strings.HasPrefix(subject, "ironpost.kv.") ||
				strings.HasPrefix(subject, "ironpost.svc."+m+".web-1."), "%s may subscribe %s", m, subject)
		}
	}
	require.Equal(t, []string{">"}, bus.Permissions("unknown", "web-1").DenyPublish)
}

func allowedToModule(module, subject string) bool {
	switch {
	case subject == bus.VerbSubject(bus.EBPFEngine, "web-1", bus.VerbNetworkEvidence):
		return module == bus.ContainerGuard
	case strings.HasPrefix(subject, "ironpost."):
		return strings.HasSuffix(subject, "."+module+".web-1")
	case strings.HasPrefix(subject, "$KV."), strings.HasPrefix(subject, "$JS.API.STREAM.INFO.KV_"), strings.HasPrefix(subject, "$JS.API.DIRECT.GET.KV_"):
		return module != bus.LogPipeline && module != bus.SBOMScanner
	case strings.HasPrefix(subject, "$JS.API.DIRECT.GET.IRONPOST_"):
		return true
	case strings.HasPrefix(subject, "$JS.API.CONSUMER.INFO."), strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT."),
		strings.HasPrefix(subject, "$JS.ACK."):
		return strings.Contains(subject, "."+module)
	}
	return false
}
