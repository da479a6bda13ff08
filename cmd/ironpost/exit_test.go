package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	require.NoError(t, os.WriteFile(bad, []byte("[general]\nlog_level = \"loud\"\nnonsense = 1\n"), 0o600))
	good := filepath.Join(dir, "good.toml")
	require.NoError(t, os.WriteFile(good, []byte("[general]\nlog_level = \"warn\"\n"), 0o600))
	nowhere := filepath.Join(dir, "no.sock")
	tests := []struct {
		args string
		code int
		says string
	}{
		{"--help", exitOK, ""},
		{"", exitOK, ""},
		{"version", exitOK, ""},
		{"nonsense", exitUsage, `unknown command "nonsense"`},
		{"alrets", exitUsage, `unknown command "alrets" for "ironpost": did you mean alerts?`},
		{"audit verfy", exitUsage, "did you mean verify?"},
		{"isolate", exitUsage, "one argument is needed, 0 were given: ironpost isolate <container>"},
		{"release a b", exitUsage, "one argument is needed, 2 were given: ironpost release <container>"},
		{"replay", exitUsage, "an argument is needed: ironpost replay <file or folder>..."},
		{"status --nonsense", exitUsage, "unknown flag"},
		{"status more", exitUsage, "unknown command"},
		{"audit nonsense", exitUsage, "unknown command"},
		{"config nonsense", exitUsage, "unknown command"},
		{"--color purple status", exitUsage, "auto, always, never"},
		{"--timeout 0s status", exitUsage, "not positive"},
		{"alerts --severity loud", exitUsage, "critical"},
		{"alerts --source here", exitUsage, "203.0.113.0/24"},
		{"alerts --since yesterday", exitUsage, "90m"},
		{"alerts --limit -1", exitUsage, "negative"},
		{"alerts --limit many", exitUsage, "invalid argument"},
		{"actions --phase odd", exitUsage, "intended"},
		{"--url nats://127.0.0.1:1 status", exitUsage, "--key"},
		{"--key x status", exitUsage, "--url"},
		{"--url nats://127.0.0.1:1 --key " + nowhere + " status", exitError, "--key"},
		{"--url nats://127.0.0.1:1 --key " + good + " status", exitUnreachable, "bus.listen"},
		{"--socket " + nowhere + " status", exitUnreachable, "the daemon is not running"},
		{"--socket " + nowhere + " alerts", exitUnreachable, "systemctl start ironpost"},
		{"--socket " + nowhere + " actions --follow", exitUnreachable, "ironpost-daemon"},
		{"config validate -c " + bad, exitConfig, ""},
		{"config validate -c " + good, exitOK, ""},
		{"config validate -c " + nowhere, exitConfig, "no such file"},
		{"config validate -c " + dir, exitConfig, "not a regular file"},
		{"alerts -c " + dir, exitUnreachable, "not a regular file"},
		{"config show -c " + bad, exitConfig, "bad.toml:2:"},
		{"config show --section nonsense -c " + good, exitUsage, "log_pipeline.storage"},
		{"status -c " + bad, exitUnreachable, "bad.toml:2:"},
		{"audit verify --offline --path " + dir + "/none", exitError, "no audit trail"},
		{"audit verify --path " + dir + "/none --socket " + nowhere, exitError, "no audit trail"},
		{"completion bash", exitOK, ""},
		{"completion zsh", exitOK, ""},
		{"completion fish", exitOK, ""},
		{"__complete alerts --severity c", exitOK, ""},
	}
	for _, tt := range tests {
		r := call(t, strings.Fields(tt.args)...)
		require.Equal(t, tt.code, r.code, "%s: %s%s", tt.args, r.out, r.err)
		require.Contains(t, r.err, tt.says, tt.args)
	}
}

// With --json, what goes to standard error is JSON, too: one error with the exit code, and notes before it.
func TestErrorsAreJSONIfAsked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	require.NoError(t, os.WriteFile(bad, []byte("[general]\nlog_level = \"loud\"\nnonsense = 1\n"), 0o600))
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"nonsense --json", exitUsage, `unknown command "nonsense"`},
		{"status --nonsense --json", exitUsage, "unknown flag"},
		{"--json alerts --since yesterday", exitUsage, "90m"},
		{"actions --json --socket " + dir + "/no.sock", exitUnreachable, "not running"},
		{"config show --json -c " + bad, exitConfig, "bad.toml:3:1: general.nonsense: unknown key"},
		{"config show --json -c " + dir + "/none", exitConfig, "no such file"},
		{"audit verify --json --offline --path " + dir + "/none", exitError, "no audit trail"},
	} {
		r := call(t, strings.Fields(tt.args)...)
		require.Equal(t, tt.code, r.code, "%s: %s%s", tt.args, r.out, r.err)
		require.Empty(t, r.out, tt.args)
		lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			var note printedNote
			require.NoError(t, json.Unmarshal([]byte(line), &note), "%s: %s", tt.args, line)
			require.NotEmpty(t, note.Note, tt.args)
			require.NoError(t, validate("note", []byte(line)))
		}
		require.NoError(t, validate("error", []byte(lines[len(lines)-1])))
		var failed printedError
		require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &failed), "%s: %s", tt.args, r.err)
		require.Equal(t, tt.code, failed.Code, tt.args)
		require.Contains(t, failed.Error, tt.says, tt.args)
	}
}

// The global flags are listed once, not at the end of every page.
func TestGlobalFlagsAreListedOnce(t *testing.T) {
	t.Parallel()
	require.Contains(t, call(t, "--help").out, "--tls-cert")
	out := call(t, "alerts", "--help").out
	require.NotContains(t, out, "--tls-cert")
	require.Contains(t, out, "Global flags, such as --json, --utc, --socket and --config: ironpost --help")
}

func TestHelpDocumentsEveryExitCode(t *testing.T) {
	t.Parallel()
	out := call(t, "--help").out
	for line := range strings.SplitSeq(exitHelp, "\n") {
		require.Contains(t, out, line)
	}
	for _, args := range [][]string{
		{"status"}, {"alerts"}, {"actions"}, {"audit", "verify"}, {"config", "validate"}, {"config", "show"}, {"version"},
	} {
		out := call(t, append(args, "--help")...).out
		require.Contains(t, out, "Examples:", args)
		require.Contains(t, out, "--json", args)
	}
}

func TestHelpFitsIn80Columns(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		help := call(t, append(path, "--help")...).out
		for line := range strings.Lines(help) {
			require.LessOrEqual(t, displayWidth(strings.TrimSuffix(line, "\n")), 80, "%s: %s", cmd.CommandPath(), line)
		}
		if cmd.Runnable() && !cmd.HasSubCommands() {
			require.Contains(t, help, "Examples:", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit((&app{out: &output{w: io.Discard}, err: io.Discard}).rootCommand())
}
