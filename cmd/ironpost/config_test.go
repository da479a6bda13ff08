package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigValidateReportsEveryMistake(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad.toml")
	require.NoError(t, os.WriteFile(bad, []byte("[general]\nlog_level = \"loud\"\nnonsense = 1\n"), 0o600))
	r := call(t, "config", "validate", "-c", bad)
	require.Contains(t, r.out, "bad.toml:2:13: general.log_level:")
	require.Contains(t, r.out, "bad.toml:3:1: general.nonsense:")
	r = call(t, "config", "validate", "--json", "-c", bad)
	require.Equal(t, exitConfig, r.code)
	require.Contains(t, r.out, `"valid":false`)
	require.Contains(t, r.out, `"line":2,"column":13`)
}

func TestConfigShowPrintsValueAndOrigin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i.toml")
	text := "[general]\nlog_level = \"warn\"\n[log_pipeline.storage]\npostgres_url = \"postgres://u:s3cret@db/x\"\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	t.Setenv("IRONPOST_GENERAL_LOG_FORMAT", "pretty")
	r := call(t, "config", "show", "-c", path)
	require.Equal(t, exitOK, r.code, r.err)
	require.Regexp(t, `(?m)^log_level = "warn" +# .*i\.toml:2$`, r.out)
	require.Regexp(t, `(?m)^log_format = "pretty" +# IRONPOST_GENERAL_LOG_FORMAT$`, r.out)
	require.Regexp(t, `(?m)^mode = "embedded" +# default$`, r.out)
	require.NotContains(t, r.out, "s3cret")
	require.NotContains(t, call(t, "config", "show", "--json", "-c", path).out, "s3cret")
	r = call(t, "config", "show", "--section", "general", "--json", "-c", path)
	require.Contains(t, r.out, `{"key":"general.log_level","value":"warn","origin":"`+path+`:2","variable":"IRONPOST_GENERAL_LOG_LEVEL"}`)
	require.NotContains(t, r.out, "bus.mode")
}
