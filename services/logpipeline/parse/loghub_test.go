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

// The labels of loghub give host, tag, pid and message of every line.
func TestLoghubLinesMatchTheirLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, host, component, pid string }{
		{"OpenSSH", "Component", "", "Pid"}, // its Component is the host, and every line is from sshd
		{"Linux", "Level", "Component", "PID"},
	} {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			lines, labels := loghub(t, c.set)
			require.Len(t, lines, 2000)
			for i, line := range lines {
				ev, want := read(line), labels[i]
				require.Equal(t, parse.RFC3164, ev.Format, line)
				require.False(t, ev.Time.IsZero(), line)
				require.Equal(t, want[c.host], ev.Host, line)
				require.Equal(t, labelled(want, c.component), tagOf(ev), line)
				require.Equal(t, want[c.pid], pidOf(ev), line)
				require.Equal(t, strings.TrimSpace(want["Content"]), strings.TrimSpace(ev.Message), line)
			}
		})
	}
}

var dottedQuad = regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}\b`)

// Every line of sshd with an address has its source and an action; the last address is that of the client.
func TestLoghubOpenSSHHasASourceForEveryAddress(t *testing.T) {
	t.Parallel()
	lines, _ := loghub(t, "OpenSSH")
	sources := 0
	for _, line := range lines {
		ev := read(line)
		found := dottedQuad.FindAllString(line, -1)
		if len(found) == 0 {
			continue
		}
		sources++
		require.Equal(t, found[len(found)-1], ev.SourceIP.String(), line)
		require.NotEmpty(t, ev.Fields.Map()["action"], line)
	}
	require.Equal(t, 1734, sources)
}

// Nearly every line of a login service of Linux_2k has an action, and every failure with an address its source.
func TestLoghubLinuxHasASourceForEveryFailure(t *testing.T) {
	t.Parallel()
	lines, _ := loghub(t, "Linux")
	for _, line := range lines {
		ev := read(line)
		if strings.Contains(line, "(pam_unix)") {
			require.NotEmpty(t, ev.Fields.Map()["action"], line)
		}
		if _, host, ok := strings.Cut(line, " rhost="); ok && dottedQuad.MatchString(host) && !strings.Contains(host, "-") {
			require.Equal(t, dottedQuad.FindString(host), ev.SourceIP.String(), line)
		}
	}
}

func TestLoghubApacheErrorLog(t *testing.T) {
	t.Parallel()
	lines, labels := loghub(t, "Apache")
	for i, line := range lines {
		ev := read(line)
		require.Equal(t, parse.ApacheError, ev.Format, line)
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
