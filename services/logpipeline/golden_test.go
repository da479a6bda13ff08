package logpipeline_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

var updateGolden = flag.Bool("update", false, "write the golden files")

// The golden files hold every alert of the shipped rules on logs of real hosts, and the lines that are the reason.
func TestAlertsOnRealLogsAreThoseOfTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for _, set := range []string{"Linux", "OpenSSH", "Apache"} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			log, err := os.ReadFile(testenv.Data(t, "loghub/"+set+"/"+set+"_2k.log"))
			require.NoError(t, err)
			got := describeAlerts(replay(t, strings.Split(string(log), "\n")))
			file := filepath.Join("testdata", "golden", strings.ToLower(set)+".txt")
			if *updateGolden {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), got)
		})
	}
}

// Five failures within ten minutes, of one address or name, are told of every source that has them.
func TestEveryBurstOfRealLogsIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set     string
		sources int
	}{{"Linux", 39}, {"OpenSSH", 11}} {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			log, err := os.ReadFile(testenv.Data(t, "loghub/"+c.set+"/"+c.set+"_2k.log"))
			require.NoError(t, err)
			var sources []string
			for _, a := range replay(t, strings.Split(string(log), "\n")) {
				if strings.HasPrefix(a.Title, "SSH Brute Force") && a.Revision == 0 {
					sources = append(sources, a.DedupKey)
				}
			}
			slices.Sort(sources)
			require.Len(t, slices.Compact(sources), c.sources)
		})
	}
}

// A line that stands for several equal ones counts as often.
func TestRepeatedMessagesAreCounted(t *testing.T) {
	t.Parallel()
	line := "Nov 23 08:00:%02d web-1 sshd[811]: message repeated %d times: [ Failed password for root from 203.0.113.7 port 40000 ssh2]"
	require.NotEmpty(t, replay(t, []string{fmt.Sprintf(line, 1, 5)}))
	require.NotEmpty(t, replay(t, []string{fmt.Sprintf(line, 1, 2), fmt.Sprintf(line, 2, 3)}))
	require.Empty(t, replay(t, []string{fmt.Sprintf(line, 1, 2), fmt.Sprintf(line, 2, 2)}))

	alerts := replay(t, []string{fmt.Sprintf(line, 1, 5), fmt.Sprintf(line, 2, 5), fmt.Sprintf(line, 3, 5)})
	last := alerts[len(alerts)-1]
	require.Equal(t, "SSH Brute Force", last.Title)
	require.Equal(t, 11, last.Count, "the alert, and ten failures after it")
}

// replay returns the alerts of the shipped rules on lines that were read at noon on 2026-11-30.
func replay(t *testing.T, lines []string) []*event.Alert {
	t.Helper()
	o, problems, err := logpipeline.NewOffline(logpipeline.DefaultConfig(), "host")
	require.NoError(t, err)
	require.NoError(t, problems)
	var out []*event.Alert
	received := time.Date(2026, 11, 30, 12, 0, 0, 0, time.Local)
	for i, line := range lines {
		out = append(out, o.Line(fmt.Sprint("log:", i), []byte(line), received)...)
	}
	return append(out, o.Close()...)
}

// describeAlerts returns the first and the last alert of every series, with the time in the zone of the log.
func describeAlerts(alerts []*event.Alert) string {
	var out strings.Builder
	for _, a := range alerts {
		if a.State == event.Ongoing {
			continue
		}
		source := ""
		if a.Source != nil {
			source = " from " + a.Source.IP
		}
		fmt.Fprintf(&out, "%s %s %dx %s: %s%s\n", a.LastSeen.Local().Format("Jan _2 15:04:05"), a.State, a.Count, a.Severity, a.Title, source)
		if a.State == event.Over {
			continue
		}
		for _, line := range a.Evidence {
			fmt.Fprintf(&out, "    %s\n", strings.TrimSpace(line))
		}
	}
	return out.String()
}
