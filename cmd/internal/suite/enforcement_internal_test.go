package suite

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
)

func TestBlocksThatNothingEnforcesAreAReason(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	edges := false
	e := &enforcement{conn: b.Conn(bus.Daemon), host: b.Host(), edges: func() bool { return edges }}
	e.check(t.Context())
	require.Nil(t, e.reason.Load(), "there are no blocks")

	list, err := b.Conn(bus.Daemon).Blocklist(t.Context())
	require.NoError(t, err)
	now := time.Now()
	require.NoError(t, list.Put(t.Context(), bus.Block{
		Prefix: netip.MustParsePrefix("203.0.113.7/32"), Created: now, Expires: now.Add(time.Hour), Source: bus.Operator,
	}))
	e.check(t.Context())
	require.NotNil(t, e.reason.Load())
	require.Contains(t, *e.reason.Load(), "1 blocks are wanted and nothing enforces them")

	edges = true
	e.check(t.Context())
	require.Nil(t, e.reason.Load(), "an edge enforces copies of the blocks")
	edges = false
	e.host = "hub-without-an-engine"
	e.check(t.Context())
	require.NotNil(t, e.reason.Load())

	stop, err := b.Conn(bus.EBPFEngine).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.EBPFEngine, Host: b.Host(), Version: "v1",
		Verbs: map[string]bus.Verb{"blocklist": func(context.Context, []byte) (any, error) { return map[string]int{}, nil }},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	e.check(t.Context())
	require.Nil(t, e.reason.Load(), "the engine of another host answers")
	e.host = b.Host()
	e.check(t.Context())
	require.Nil(t, e.reason.Load(), "an engine answers")
}
