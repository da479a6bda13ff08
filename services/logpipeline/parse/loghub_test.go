package parse_test

import (
	"encoding/csv"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// The labels of loghub give time, host, tag, pid and message of every line.
func TestLoghubLinesMatchTheirLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, month, day, host, component, pid string }{
		{"OpenSSH", "Date", "Day", "Component", "", "Pid"}, // its Component is the host, and every line is from sshd
		{"Linux", "Month", "Date", "Level", "Component", "PID"},
	} {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			lines, labels := loghub(t, c.set)
			require.Len(t, lines, 2000)
			for i, line := range lines {
				ev, want := read(line), labels[i]
				require.Equal(t, parse.RFC3164, ev.Format, line)
				require.Equal(t, want[c.month]+" "+want[c.day]+" "+want["Time"], ev.Time.Format("Jan 2 15:04:05"), line)
				require.Equal(t, want[c.host], ev.Host, line)
				require.Equal(t, labelled(want, c.component), tagOf(ev), line)
				require.Equal(t, want[c.pid], pidOf(ev), line)
				if ev.Repeated > 0 { // the message is the one that was repeated
					require.Contains(t, want["Content"], ev.Message, line)
					continue
				}
				require.Equal(t, strings.TrimSpace(want["Content"]), strings.TrimSpace(ev.Message), line)
			}
		})
	}
}

// wholeAddress matches an address that is no part of a host name such as 192.0.2.7.example.net, which the owner of the address chooses.
var wholeAddress = regexp.MustCompile(`[ =\[](\d{1,3}(?:\.\d{1,3}){3})(?:[] :\r]|$)`)

// Every line of sshd with an address has its source and an action; the last address is that of the client. The others that have digits
// like an address have them in a host name.
func TestLoghubOpenSSHHasASourceForEveryAddress(t *testing.T) {
	t.Parallel()
	lines, _ := loghub(t, "OpenSSH")
	sources := 0
	for _, line := range lines {
		ev := read(line)
		found := wholeAddress.FindAllStringSubmatch(line, -1)
		if len(found) == 0 {
			require.False(t, ev.SourceIP.IsValid(), line)
			continue
		}
		sources++
		require.Equal(t, found[len(found)-1][1], ev.SourceIP.String(), line)
		require.NotEmpty(t, ev.Fields.Map()["action"], line)
	}
	require.Equal(t, 1732, sources)
}

// Every line of a login service of Linux_2k has an action, and every failure with an address its source.
func TestLoghubLinuxHasASourceForEveryFailure(t *testing.T) {
	t.Parallel()
	lines, _ := loghub(t, "Linux")
	for _, line := range lines {
		ev := read(line)
		if strings.Contains(line, "(pam_unix)") {
			require.NotEmpty(t, ev.Fields.Map()["action"], line)
		}
		if at := wholeAddress.FindStringSubmatch(line); at != nil && strings.Contains(line, " rhost=") {
			require.Equal(t, at[1], ev.SourceIP.String(), line)
		}
	}
}

func TestLoghubApacheErrorLog(t *testing.T) {
	t.Parallel()
	lines, labels := loghub(t, "Apache")
	for i, line := range lines {
		ev := read(line)
		require.Equal(t, parse.ApacheError, ev.Format, line)
		require.Equal(t, labels[i]["Time"], ev.Time.Format("Mon Jan 02 15:04:05 2006"), line)
		require.Equal(t, labels[i]["Level"], ev.Fields.Map()["level"], line)
		require.Equal(t, labels[i]["Content"], ev.Message, line)
	}
}

func labelled(want map[string]string, column string) string {
	if column == "" {
		return "sshd"
	}
	return want[column]
}

func tagOf(ev parse.Event) string {
	if tag, ok := ev.Fields.Map()["tag"].(string); ok {
		return tag
	}
	return ev.Process
}

func pidOf(ev parse.Event) string {
	if ev.PID == 0 {
		return ""
	}
	return strconv.FormatInt(ev.PID, 10)
}

// loghub returns the lines of a data set and for each line its labels by column.
func loghub(t *testing.T, set string) (lines []string, labels []map[string]string) {
	t.Helper()
	base := testenv.Data(t, "loghub/"+set+"/"+set+"_2k.log")
	raw, err := os.ReadFile(base)
	require.NoError(t, err)
	lines = strings.Split(strings.TrimRight(string(raw), "\r\n"), "\n")
	f, err := os.Open(base + "_structured.csv")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	for _, row := range rows[1:] {
		label := map[string]string{}
		for i, name := range rows[0] {
			label[name] = row[i]
		}
		labels = append(labels, label)
	}
	require.Len(t, labels, len(lines))
	return lines, labels
}
