package containerguard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

func TestBlockIsMadeAfterItsIntendedActionIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	for i := range 10 {
		ip := fmt.Sprint("203.0.113.", i)
		a := r.alert(from(ip))
		r.publish(a)
		r.await(a, "block-source done")
		require.True(t, r.actionStored(a, event.Intended).Before(r.blockStored(ip)))
	}
}

// actionStored returns when the server stored the action of that phase about an alert.
func (r *rig) actionStored(alert *event.Alert, phase event.Phase) (at time.Time) {
	r.t.Helper()
	require.NoError(r.t, r.bus.Admin().History(r.t.Context(), bus.Actions, bus.HistoryOptions{Filter: bus.ActionSubject("*", host)}, func(d bus.Delivery) bool {
		var a event.Action
		require.NoError(r.t, event.Decode(d.Data, &a))
		if a.AlertID == alert.ID && a.Phase == phase {
			at = d.StoredAt
		}
		return true
	}))
	require.NotZero(r.t, at)
	return at
}

// blockStored returns when the server stored the blocklist entry of an address.
func (r *rig) blockStored(ip string) time.Time {
	r.t.Helper()
	key := bus.BlockKey(netip.PrefixFrom(netip.MustParseAddr(ip), 32))
	request := fmt.Sprintf(`{"last_by_subj":"$KV.%s.%s"}`, bus.BlocklistBucket, key)
	reply, err := r.bus.Raw(bus.Daemon).Request("$JS.API.STREAM.MSG.GET.KV_"+bus.BlocklistBucket, []byte(request), patience)
	require.NoError(r.t, err)
	var stored struct{ Message struct{ Time time.Time } }
	require.NoError(r.t, json.Unmarshal(reply.Data, &stored))
	require.NotZero(r.t, stored.Message.Time, string(reply.Data))
	return stored.Message.Time
}

func TestSkippedStaleAlertNamesItsTargets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["pause", "block-source"]`)
	r.start()
	id := strings.Repeat("ab", 32)
	a := r.alert(func(a *event.Alert) {
		from("203.0.113.7")(a)
		a.Container = &event.Container{ID: id}
		a.LastSeen = a.LastSeen.Add(-time.Hour)
	})
	r.publish(a)
	block, pause := r.await(a, "block-source skipped"), r.await(a, "pause skipped")
	require.Contains(t, block.Reason, "stale: the alert is")
	require.Equal(t, "address:203.0.113.7", block.Target)
	require.Contains(t, pause.Reason, "stale: the alert is")
	require.Equal(t, "container:"+id[:12], pause.Target)
}

func TestStartedIsClosedWhenOpeningFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.data(), "waiting"), nil, 0o600)) // a file in place of the directory
	s, err := containerguard.New(r.cfg, containerguard.Deps{
		Bus: r.bus.Conn(bus.ContainerGuard), Host: host, DataDir: r.data(), Log: logrus.New(),
	})
	require.NoError(t, err)
	require.Error(t, s.Run(context.WithoutCancel(t.Context())))
	select {
	case <-s.Started():
	default:
		require.Fail(t, "whoever waits for Started would wait for ever")
	}
}

func TestGuardIsDegradedUntilItHasStarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["pause"]`)
	s, err := containerguard.New(r.cfg, containerguard.Deps{
		Bus: r.bus.Conn(bus.ContainerGuard), Host: host, DataDir: r.data(), Log: logrus.New(),
	})
	require.NoError(t, err)
	require.Equal(t, event.Degraded, s.Health().Status)
	require.Equal(t, []string{"starting"}, s.Health().Reasons)
}
