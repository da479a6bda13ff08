package logpipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

func TestSilenceOfEachInput(t *testing.T) {
	t.Parallel()
	var a activity
	now := time.Now()
	require.Empty(t, a.silences(now))
	a.add("/var/log/auth.log", 3, 0, event.TrustHost, now.Add(-time.Minute))
	a.add(SourceSyslog, 1, 0, event.TrustUnproven, now.Add(time.Second)) // the clock was set back
	require.Equal(t, map[string]time.Duration{"/var/log/auth.log": time.Minute, SourceSyslog: 0}, a.silences(now))
}
