package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/services/containerguard"
)

func TestNotifyTestPrintsEachNotifierAndFailsIfOneDid(t *testing.T) {
	b := bustest.New(t)
	reply := containerguard.NotifyReply{Notifiers: []containerguard.NotifyTest{
		{Notifier: "webhook", Sent: true, DurationMS: 12}, {Notifier: "other", Error: "answered 404\x1b[2J: check it"},
	}}
	stop, err := b.Conn(bus.ContainerGuard).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.ContainerGuard, Host: b.Host(), Version: "v1.2.3",
		Acts: map[string]bus.Act{containerguard.VerbNotify: func(context.Context, string, []byte) (any, error) { return reply, nil }},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	r := on(t, b, "notify", "test")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.out, "webhook: sent in 12 ms\nother: not sent: answered 404")
	require.NotContains(t, r.out, "\x1b")
	require.Empty(t, r.err)
	r = on(t, b, "notify", "test", "--json")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.out, `"sent":true`)
	require.Empty(t, r.err)
}
