package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline"
)

var updateExplained = flag.Bool("explained", false, "write testdata/explained.golden")

// explainedLines are lines of several layers each, of which the golden file has what is shown.
var explainedLines = []string{
	`<38>Nov 23 07:59:58 web1 sshd[812]: Failed password for invalid user admin from 203.0.113.9 port 4711 ssh2`,
	`203.0.113.66 - - [23/Nov/2026:07:59:58 +0000] "GET /../../etc/passwd HTTP/1.1" 404 153 "-" "curl/8.5.0"`,
	`2026-11-23T07:59:58.123456789Z stdout F <13>1 2026-11-23T07:59:57Z app shop 7 - - ready`,
	"an escape \x1b[2J sequence, \u202edirections and \xff bytes",
	`2026-11-25T08:00:00Z web1 app: of the future`,
}

// What is shown of a line is what the pipeline makes of it, layer by layer. To write the golden file again, where a format changed:
// go test ./cmd/ironpost -run TestExplainedLines -explained.
func TestExplainedLinesAreAsInTheGoldenFile(t *testing.T) {
	t.Parallel()
	const golden = "testdata/explained.golden"
	e, err := logpipeline.NewExplainer(logpipeline.DefaultConfig(), "", logpipeline.Input{Timezone: "UTC"})
	require.NoError(t, err)
	var shown bytes.Buffer
	a := app{out: &output{w: &shown}, utc: true}
	for _, line := range explainedLines {
		require.NoError(t, a.printExplanation(line, e.Explain([]byte(line), began)))
		a.printf("")
	}
	if *updateExplained {
		require.NoError(t, os.WriteFile(golden, shown.Bytes(), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), shown.String())
	require.NotContains(t, shown.String(), "\x1b", "attacker text is escaped")
}

func TestExplainTakesTheSettingsOfTheInput(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "ironpost.toml")
	require.NoError(t, os.WriteFile(config, []byte("[[log_pipeline.input]]\npath = \"/var/log/far/*.log\"\ntimezone = \"America/Los_Angeles\"\n"), 0o600))
	line := began.Format("Jan _2 15:04:05") + " web1 app: x"
	at := func(args ...string) string {
		r := call(t, append([]string{"logs", "explain", "-c", config, "--json", line}, args...)...)
		require.Equal(t, exitOK, r.code, r.err)
		var got explainedLine
		require.NoError(t, json.Unmarshal([]byte(r.out), &got))
		require.Equal(t, line, got.Line)
		return got.Time.Format("15:04")
	}
	require.Equal(t, "16:00", at("--file", "/var/log/far/a.log"))
	require.Equal(t, "08:00", at("--file", "/var/log/far/a.log", "--timezone", "UTC"))
	require.Equal(t, "07:00", at("--file", "/var/log/near.log", "--timezone", "Europe/Berlin"))

	r := call(t, "logs", "explain", "--timezone", "Nowhere", "x")
	require.Equal(t, exitUsage, r.code)
	require.True(t, strings.HasPrefix(r.err, `ironpost: --timezone "Nowhere" is not a time zone`), r.err)
	require.Equal(t, exitUsage, call(t, "logs", "explain").code)
}
