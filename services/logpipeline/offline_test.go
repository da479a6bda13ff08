package logpipeline_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/sigma"
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

// Of a file that is left out every error is reported, also those that appear only when files
// are combined, and those about the whole file have a position, too.
func TestEveryErrorOfARuleFileIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rule := func(id string) string {
		return "title: Rule " + id + "\nid: 00000000-0000-4000-8000-00000000000" + id +
			"\nlogsource:\n  product: linux\ndetection:\n  keywords:\n    - x\n  condition: keywords\n"
	}
	both := rule("1") + "---\n" + rule("2")
	write(t, filepath.Join(dir, "a.yml"), both)
	write(t, filepath.Join(dir, "b.yml"), both)
	write(t, filepath.Join(dir, "large.yml"), strings.Repeat("#", sigma.MaxFileSize+1))
	_, problems, err := logpipeline.NewOffline(logpipeline.Config{RulesPath: dir}, "host")
	require.NoError(t, err)
	require.ErrorContains(t, problems, "b.yml:1:1: ")
	require.ErrorContains(t, problems, "b.yml:10:1: ")
	require.ErrorContains(t, problems, "large.yml:1:1: not a regular file of at most ")
}
