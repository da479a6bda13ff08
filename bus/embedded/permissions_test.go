package embedded_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

// roles are all that have a key in the modules' account.
func roles() []string { return append(bus.ModuleNames(), bus.Daemon, bus.Operator) }

type attempt struct {
	subject string
	allowed []string // roles; all others are refused
}

func TestPublishPermissions(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	const host, other = "testhost", "elsewhere"
	attempts := []attempt{
		{bus.PacketSubject(bus.EBPFEngine, host), []string{bus.EBPFEngine}},
		{bus.PacketSubject(bus.EBPFEngine, other), nil},
		{bus.AlertSubject(bus.LogPipeline, host), []string{bus.LogPipeline}},
		{bus.AlertSubject(bus.LogPipeline, other), nil},
		{bus.AlertSubject(bus.SBOMScanner, host), []string{bus.SBOMScanner}},
		{bus.AlertSubject(bus.EBPFEngine, host), nil},
		{bus.AlertSubject(bus.ContainerGuard, host), nil},
		{bus.AlertSubject(bus.Daemon, host), nil},
		{bus.AlertSubject(bus.Operator, host), nil},
		{bus.ActionSubject(bus.ContainerGuard, host), []string{bus.ContainerGuard}},
		{bus.ActionSubject(bus.ContainerGuard, other), nil},
		{bus.ActionSubject(bus.LogPipeline, host), nil},
		{bus.DLQSubject(bus.ContainerGuard, host), []string{bus.ContainerGuard}},
		{bus.DLQSubject(bus.LogPipeline, host), []string{bus.LogPipeline}},
		{bus.DLQSubject(bus.ActionCollector, host), []string{bus.ActionCollector}},
		{bus.DLQSubject(bus.EBPFEngine, host), nil},
		{bus.RepublishedAlerts, nil},
		{bus.RepublishedActions, nil},
		{bus.RepublishedPackets, nil},
		{bus.HealthSubject, []string{bus.Daemon}},
		{bus.VerbSubject(bus.ContainerGuard, host, "status"), []string{bus.Daemon, bus.Operator}},
		{bus.VerbSubject(bus.ContainerGuard, host, "isolate"), []string{bus.Daemon, bus.Operator}},
		{bus.ActSubject(bus.ContainerGuard, host, "isolate", bus.OperatorToken(0, host)), []string{bus.Daemon, bus.Operator}},
		{bus.ActionSubject(bus.Daemon, host), []string{bus.Daemon}},
		{"$KV." + bus.BlocklistBucket + ".09090909", []string{bus.ContainerGuard, bus.Daemon}},
		{"$KV." + bus.AuditBucket + ".head", []string{bus.ActionCollector}},
		{"$JS.API.STREAM.CREATE.NOSUCH", []string{bus.Daemon}},
		{"$JS.API.STREAM.UPDATE.NOSUCH", []string{bus.Daemon}},
		{"$JS.API.STREAM.DELETE.NOSUCH", []string{bus.Daemon}},
		{"$JS.API.STREAM.PURGE.NOSUCH", []string{bus.Daemon}},
		{"$JS.API.STREAM.MSG.DELETE.NOSUCH", []string{bus.Daemon}},
		{"$JS.API.CONSUMER.CREATE.IRONPOST_ALERTS", []string{bus.Daemon}},
		{"$JS.API.CONSUMER.CREATE.KV_" + bus.BlocklistBucket, []string{bus.Daemon}},
		{"$JS.API.CONSUMER.CREATE.KV_" + bus.BlocklistBucket + ".x", []string{bus.Daemon}},
		{"$JS.API.CONSUMER.CREATE.KV_" + bus.BlocklistBucket + ".x.$KV." + bus.BlocklistBucket + ".>", []string{bus.Daemon}},
		{"ironpost.kv." + bus.BlocklistBucket + ".09090909", nil},
		{"$JS.API.CONSUMER.DURABLE.CREATE.NOSUCH.x", []string{bus.Daemon}},
		{"$JS.API.CONSUMER.DELETE.IRONPOST_ALERTS.nosuch", []string{bus.Daemon}},
		{"$JS.API.CONSUMER.MSG.NEXT.IRONPOST_ALERTS.container-guard_" + host, []string{bus.Daemon, bus.ContainerGuard}},
		{"$JS.API.CONSUMER.MSG.NEXT.IRONPOST_ALERTS.container-guard_" + other, []string{bus.Daemon}},
		{"$JS.ACK.IRONPOST_ALERTS.container-guard_" + host + ".1.1.1.1.0", []string{bus.ContainerGuard}},
		{"$SYS.REQ.SERVER.PING", nil},
		{"$SYS.REQ.USER.INFO", nil},
		{"$JS.EVENT.ADVISORY.x", nil},
		{"_INBOX.x", nil},
		{"_R_.x", nil},
		{bus.InboxPrefix(bus.Daemon, host) + ".x", nil},
		{bus.Permissions(bus.Operator, host).Inbox + ".x", nil},
	}
	for _, role := range roles() {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			nc := b.Raw(role)
			for _, a := range attempts {
				require.Equal(t, !slices.Contains(a.allowed, role), publishRefused(t, nc, a.subject), a.subject)
			}
		})
	}
}

func TestSubscribePermissions(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	const host, other = "testhost", "elsewhere"
	modules := append(bus.ModuleNames(), bus.Daemon)
	attempts := []attempt{
		{">", nil},
		{"*", nil},
		{"ironpost.>", nil},
		{"ironpost.alerts.*.*", nil},
		{"ironpost.*.*.*", nil},
		{"ironpost.dlq.>", nil},
		{"ironpost.svc.>", nil},
		{bus.RepublishedAlerts, []string{bus.Operator}},
		{bus.RepublishedActions, []string{bus.Operator}},
		{bus.RepublishedPackets, []string{bus.Operator}},
		{bus.HealthSubject, []string{bus.Operator}},
		{bus.AlertSubject(bus.LogPipeline, host), nil},
		{bus.VerbSubject(bus.ContainerGuard, host, "status"), []string{bus.ContainerGuard}},
		{bus.VerbSubject(bus.ContainerGuard, other, "status"), nil},
		{bus.VerbSubject(bus.LogPipeline, host, "status"), []string{bus.LogPipeline}},
		{"$SRV.PING", modules},
		{"$SRV.>", nil},
		{"$SRV.INFO.ironpost-container-guard", []string{bus.ContainerGuard}},
		{"$JS.>", nil},
		{"$JS.API.>", nil},
		{"$JS.ACK.>", nil},
		{"$KV.>", nil},
		{"$KV." + bus.BlocklistBucket + ".>", nil},
		{"ironpost.kv." + bus.BlocklistBucket + ".>", []string{bus.EBPFEngine, bus.ContainerGuard, bus.Daemon, bus.Operator}},
		{"ironpost.kv." + bus.AuditBucket + ".>", []string{bus.ActionCollector, bus.Operator}},
		{"$SYS.>", nil},
		{"_INBOX.>", nil},
		{"_INBOX_gateway.>", nil},
		{bus.InboxPrefix(bus.Daemon, host) + ".>", []string{bus.Daemon}},
		{bus.InboxPrefix(bus.ContainerGuard, host) + ".>", []string{bus.ContainerGuard}},
		{bus.Permissions(bus.Operator, host).Inbox + ".>", []string{bus.Operator}},
		{"_R_.>", nil},
	}
	for _, role := range roles() {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			nc := b.Raw(role)
			for _, a := range attempts {
				require.Equal(t, !slices.Contains(a.allowed, role), subscribeRefused(t, nc, a.subject, ""), a.subject)
			}
		})
	}
}

// A role that is not in the table has no key, so it cannot connect.
func TestUnknownModuleCannotConnect(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	require.Empty(t, b.Options("intruder").Seed)
}
