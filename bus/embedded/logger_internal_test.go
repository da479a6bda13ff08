package embedded

import (
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

func TestServerLinesAreLoggedAsField(t *testing.T) {
	t.Parallel()
	logger, hook := test.NewNullLogger()
	log := newServerLog(logger)
	log.Errorf("%s - %q", "10.0.0.1", "\x1b[31mevil")
	require.Len(t, hook.Entries, 1)
	require.Equal(t, "bus server error", hook.LastEntry().Message)
	require.Equal(t, logrus.WarnLevel, hook.LastEntry().Level)
	require.Equal(t, `10.0.0.1 - "\x1b[31mevil"`, hook.LastEntry().Data["text"])
}

func TestLogLinesOfClientsAreLimited(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	logger, hook := test.NewNullLogger()
	log := newServerLog(logger)
	log.limit.now = func() time.Time { return now }
	for range 1000 {
		log.Warnf("authentication error")
	}
	require.Len(t, hook.Entries, linesPerSecond)
	now = now.Add(time.Second)
	log.Warnf("authentication error")
	require.Equal(t, uint64(1000-linesPerSecond), hook.LastEntry().Data["suppressed"])
}

func TestFatalErrorIsKept(t *testing.T) {
	t.Parallel()
	logger, _ := test.NewNullLogger()
	log := newServerLog(logger)
	require.NoError(t, log.failure())
	log.Fatalf("first %d", 1)
	log.Fatalf("second")
	require.EqualError(t, log.failure(), "first 1")
}
