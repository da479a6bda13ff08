package logpipeline_test

import (
	"fmt"
	"path/filepath"
	"slices"
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

// A brute force against sshd that lasts ten minutes, by the shipped rules: 600 failed logins, the fifth of which begins the series.
func TestBruteForceOfTenMinutesIsOneSeries(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	o, problems, err := logpipeline.NewOffline(logpipeline.DefaultConfig(), "web-1")
	require.NoError(t, err)
	require.NoError(t, problems)
	var alerts []*event.Alert
	began := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for i := range 600 {
		at := began.Add(time.Duration(i) * time.Second)
		line := fmt.Sprintf("%s web-1 sshd[811]: Failed password for user%d from 203.0.113.7 port 40000 ssh2", at.Format(time.Stamp), i%3)
		alerts = append(alerts, o.Line(fmt.Sprint("auth.log:", i), []byte(line), received)...)
	}
	alerts = append(alerts, o.Close()...)
	var got []string
	for _, a := range alerts {
		if a.Title == "SSH Brute Force" {
			got = append(got, fmt.Sprintf("%s revision %d %s count %d", a.LastSeen.Format("15:04:05"), a.Revision, a.State, a.Count))
		}
	}
	t.Log(strings.Join(got, "\n"))
	require.Equal(t, []string{
		"08:00:04 revision 0 open count 1", "08:00:14 revision 1 ongoing count 11", "08:01:04 revision 2 ongoing count 61",
		"08:05:04 revision 3 ongoing count 301", "08:09:59 revision 4 over count 596",
	}, got)
	require.Equal(t, []string{"user:user0", "user:user1", "user:user2"}, sortedMembers(alerts, "SSH Brute Force"))
}

func sortedMembers(alerts []*event.Alert, title string) (members []string) {
	for _, a := range alerts {
		if a.Title == title {
			members = slices.Sorted(slices.Values(a.Members))
		}
	}
	return members
}
