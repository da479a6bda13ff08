package suite_test

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
)

// A block by hand, and its removal, is an action with the operator.
func TestBlocksByHandAreActions(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	daemon := b.Conn(bus.Daemon)
	stop, err := daemon.Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{Module: bus.Daemon, Host: b.Host(), Version: "v1.2.3", Acts: suite.BlocklistActs(daemon, b.Host())})
	require.NoError(t, err)
	t.Cleanup(stop)
	operator, err := bus.DialSocket(t.Context(), b.Socket())
	require.NoError(t, err)
	defer func() { require.NoError(t, operator.Close(context.WithoutCancel(t.Context()))) }()

	now, prefix := time.Now(), netip.MustParsePrefix("203.0.113.7/32")
	block := bus.Block{Prefix: prefix, Created: now, Expires: now.Add(time.Hour), Source: bus.ContainerGuard, Policy: "p", Reason: "scans"}
	var before bus.BlockReply
	require.NoError(t, operator.Operate(t.Context(), bus.Daemon, b.Host(), bus.VerbBlock, bus.BlockRequest{Block: block}, &before))
	require.Empty(t, before.Before.Source)
	list, err := operator.Blocklist(t.Context())
	require.NoError(t, err)
	have, err := list.Get(t.Context(), prefix)
	require.NoError(t, err)
	require.Equal(t, []string{bus.Operator, "", "scans"}, []string{have.Source, have.Policy, have.Reason}, "an operator's block is no policy's")

	wide := block
	wide.Prefix = netip.MustParsePrefix("0.0.0.0/0")
	require.ErrorContains(t, list.Put(t.Context(), wide), "too wide")

	var removed bus.UnblockReply
	require.NoError(t, operator.Operate(t.Context(), bus.Daemon, b.Host(), bus.VerbUnblock, bus.UnblockRequest{Prefix: prefix, Reason: "over"}, &removed))
	require.Len(t, removed.Removed, 1)
	_, err = list.Get(t.Context(), prefix)
	require.ErrorIs(t, err, bus.ErrNotFound)

	var actions []event.Action
	require.NoError(t, operator.History(t.Context(), bus.Actions, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		var a event.Action
		require.NoError(t, event.Decode(d.Data, &a))
		actions = append(actions, a)
		return true
	}))
	require.Len(t, actions, 2)
	name := bus.OperatorName(bus.OperatorToken(os.Getuid(), b.Host()), b.Host())
	for i, want := range []struct {
		phase  event.Phase
		reason string
	}{{event.Done, "scans"}, {event.Released, "over"}} {
		a := actions[i]
		require.Equal(t, []string{bus.Daemon, name, "block-source", "address:203.0.113.7", string(want.phase), want.reason},
			[]string{a.Module, a.Operator, a.Kind, a.Target, string(a.Phase), a.Reason})
	}
}
