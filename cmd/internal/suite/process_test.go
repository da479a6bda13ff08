package suite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	p := suite.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &err, Program: suite.Daemon()}
	code = p.Run(t.Context())
	return code, out.String(), err.String()
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ironpost.toml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestHelpNamesFlagsSignalsAndExitCodes(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"-h", "--help"} {
		code, out, _ := call(t, flag)
		require.Zero(t, code)
		for _, want := range []string{"-c, --config", "--log-level", "--log-format", "--validate", "--check", "Exit codes:", "SIGHUP", "nats sub ironpost.alerts", suite.DefaultPath} {
			require.Contains(t, out, want)
		}
		require.Equal(t, 6, strings.Count(out, "\n      --")+strings.Count(out, "\n  -"), "five flags and help:\n%s", out)
	}
}

func TestWrongUsageExitsWithTwo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--pid-file", "x"}, {"start"}, {"-c"}, {"completion"}} {
		code, out, err := call(t, args...)
		require.Equal(t, 2, code, args)
		require.Empty(t, out)
		require.Contains(t, err, "--help")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := file(t, "[general]\nlog_level = \"warn\"\n")
	code, out, _ := call(t, "--validate", "-c", good)
	require.Zero(t, code)
	require.Contains(t, out, good)

	bad := file(t, "[general]\nlog_level = \"loud\"\nnope = 1\n")
	code, out, err := call(t, "--validate", "--config", bad)
	require.Equal(t, 3, code)
	require.Empty(t, out)
	require.Contains(t, err, bad+":2:13: general.log_level")
	require.Contains(t, err, bad+":3:1: general.nope")

	code, _, err = call(t, "--validate", "-c", good, "--log-level", "loud")
	require.Equal(t, 3, code)
	require.Contains(t, err, "--log-level: general.log_level")

	code, _, err = call(t, "-c", good+".missing")
	require.Equal(t, 3, code, "a named file must exist")
	require.Contains(t, err, good+".missing")
}

func TestVersionIsKnown(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, suite.Version())
	require.Contains(t, suite.Build().GoVersion, "go1.")
}
