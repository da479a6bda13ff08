package logpipeline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

func TestOfflineMatchesALog(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	run := func() []*event.Alert {
		o, faults, err := logpipeline.NewOffline(logpipeline.DefaultConfig(), "web-1")
		require.NoError(t, err)
		require.NoError(t, faults)
		var out []*event.Alert
		for i := range 40 {
			line := fmt.Sprintf("Nov 23 08:00:%02d web-1 sshd[811]: Failed password for root from 203.0.113.7 port %d ssh2", i, 40_000+i)
			out = append(out, o.Line(fmt.Sprint("auth.log:", i), []byte(line), received)...)
		}
		for i := range 3 {
			line := `203.0.113.8 - - [23/Nov/2026:08:01:00 +0000] "GET /../../etc/passwd HTTP/1.1" 400 0 "-" "x"`
			out = append(out, o.Line(fmt.Sprint("auth.log:", 40+i), []byte(line), received)...)
		}
		return append(out, o.Close()...)
	}
	alerts := run()
	require.NotEmpty(t, alerts)
	require.Equal(t, "203.0.113.7", alerts[0].Source.IP)
	require.Equal(t, 1, alerts[0].Count)
	last := alerts[len(alerts)-1]
	require.True(t, last.Update)
	require.Equal(t, 3, last.Count)
	for _, a := range alerts {
		require.NoError(t, a.Validate())
		require.Equal(t, "web-1", a.Host)
	}
	require.Equal(t, alerts, run(), "the same log gives the same alerts")

	cfg := logpipeline.DefaultConfig()
	cfg.RulesPath = "/nowhere"
	_, _, err := logpipeline.NewOffline(cfg, "web-1")
	require.ErrorContains(t, err, "rules_path")
}
