package containerguard

import (
	"context"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/folder"
)

// A stream of actions that ends before the mark has lost some.
func TestReporterLogsThatStoredActionsAreGone(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pub, err := b.Conn(Name).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: Name, Host: b.Host()})
	require.NoError(t, err)
	require.NoError(t, pub.Publish(ctx, &event.Action{
		ID: "one", Schema: event.Schema, Time: time.Now().UTC(), Module: Name, Host: b.Host(),
		Kind: "notify", Target: "web", Phase: event.Intended,
	}))
	files, err := folder.Open(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	log, hook := logtest.NewNullLogger()
	r := newReporter(pub, files, log)

	require.NoError(t, r.resume(ctx))
	require.Empty(t, hook.AllEntries())
	require.NoError(t, files.Write(markFile, []byte(`{"after":8}`)))
	require.NoError(t, r.resume(ctx))
	require.Len(t, hook.AllEntries(), 1)
	require.Equal(t, logrus.ErrorLevel, hook.LastEntry().Level)
	require.EqualValues(t, 8-pub.LastSeq(), hook.LastEntry().Data["sequences"])
}
