package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

// doctorConfig writes a configuration whose only watched file is log.
func doctorConfig(t *testing.T, log, more string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "ironpost.toml")
	text := "[general]\ndata_dir = \"" + dir + "\"\n[bus]\nobserver = false\nsocket = \"" + dir + "/no.sock\"\n[metrics]\nenabled = false\n" +
		"[log_pipeline]\nsources = [\"file\"]\nwatch_paths = [\"" + log + "\"]\n" + more
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func examined(t *testing.T, r result) map[string]check {
	t.Helper()
	var got examination
	require.NoError(t, json.Unmarshal([]byte(r.out), &got), r.out)
	out, findings := map[string]check{}, 0
	for _, c := range got.Checks {
		if c.Status == checkFinding {
			findings++
			require.NotEmpty(t, c.Fix, c.Name)
		}
		if out[c.Name].Status != checkFinding {
			out[c.Name] = c
		}
	}
	require.Equal(t, got.Findings, findings)
	require.Equal(t, r.code, map[bool]int{true: exitDegraded, false: exitOK}[findings > 0])
	return out
}

func TestDoctorFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "auth.log")
	missing := filepath.Join(t.TempDir(), "docker.sock")
	config := doctorConfig(t, log, "[container]\nenabled = true\ndocker_socket = \""+missing+"\"\n")
	got := examined(t, call(t, "-c", config, "doctor", "--json"))
	require.Equal(t, checkFinding, got["inputs"].Status)
	require.Equal(t, checkFinding, got["docker"].Status)
	require.Equal(t, "systemctl start docker", got["docker"].Fix)
	require.Equal(t, checkSkipped, got["daemon"].Status)

	require.NoError(t, os.WriteFile(log, nil, 0o600))
	got = examined(t, call(t, "-c", config, "doctor", "--json"))
	require.Equal(t, checkOK, got["inputs"].Status)

	text := call(t, "-c", config, "doctor")
	require.Contains(t, text.out, "mend: systemctl start docker")
	for line := range strings.Lines(text.out) {
		if !strings.Contains(line, "mend: ") && !strings.Contains(line, t.TempDir()[:8]) {
			require.LessOrEqual(t, displayWidth(strings.TrimRight(line, "\n")), 80, line)
		}
	}
}

func TestDoctorFindsAMistakeInTheConfigurationAndInRules(t *testing.T) {
	t.Parallel()
	rules := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(rules, "bad.yml"), []byte("title: 7\n"), 0o600))
	config := doctorConfig(t, "/nowhere", "rules_path = \""+rules+"\"\n")
	got := examined(t, call(t, "-c", config, "doctor", "--json"))
	require.Contains(t, got["configuration"].What, "bad.yml")
	require.Contains(t, got["configuration"].Fix, "ironpost config validate -c ")
}

// What the defaults name says nothing about a host whose configuration cannot be used.
func TestDoctorJudgesNothingByABrokenConfiguration(t *testing.T) {
	t.Parallel()
	got := examined(t, call(t, "-c", doctorConfig(t, "/nowhere", "[broken\n"), "doctor", "--json"))
	require.Equal(t, checkFinding, got["configuration"].Status)
	require.Equal(t, checkSkipped, got["daemon"].Status)
	for _, name := range dependent {
		require.Equal(t, checkSkipped, got[name].Status, name)
	}
}

func TestDoctorSchemaHasEveryCheck(t *testing.T) {
	t.Parallel()
	schema, err := os.ReadFile("../../docs/doctor.schema.json")
	require.NoError(t, err)
	for name := range examined(t, call(t, "-c", doctorConfig(t, "/nowhere", ""), "doctor", "--json")) {
		require.Contains(t, string(schema), `"`+name+`"`)
	}
}

// secretText stands in what a bundle must not hold.
const secretText = "s3cr3t-word"

func TestSupportBundleHoldsNoTextOfTheHost(t *testing.T) {
	b := bustest.New(t)
	daemon(t, b, healthOf(event.ModuleHealth{
		Name: bus.LogPipeline, Host: "testhost", Enabled: true, Status: event.Degraded, Since: began,
		Reasons: []string{"2 rule files not loaded, among them /srv/" + secretText}, Counters: map[string]uint64{"lines": 7, "lag_bytes:/srv/" + secretText: 3},
	}))
	config := doctorConfig(t, "/srv/"+secretText, "[log_pipeline.storage]\npostgres_url = \"postgres://u:"+secretText+"@db/x\"\n")
	path := filepath.Join(t.TempDir(), "bundle.tar.gz")
	r := on(t, b, "-c", config, "support", "-o", path, "--yes")
	require.Equal(t, exitOK, r.code, r.err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	files := bundle(t, path)
	for name, text := range files {
		require.Contains(t, r.out, name, "the files are listed")
		require.NotContains(t, text, secretText, name)
		require.NotContains(t, text, "testhost", name)
	}
	require.Contains(t, files["status.json"], `"amount": "2"`)
	require.Contains(t, files["status.json"], `"lines": 7`)
	require.Contains(t, files["configuration.json"], `"log_pipeline.storage.postgres_url": "set"`)
}

func TestSupportAsksAndOverwritesNothing(t *testing.T) {
	t.Parallel()
	config, path := doctorConfig(t, "/nowhere", ""), filepath.Join(t.TempDir(), "bundle.tar.gz")
	require.ErrorContains(t, writeAs(t, config, path, "n\n"), "nothing was written")
	require.NoFileExists(t, path)
	require.NoError(t, writeAs(t, config, path, "y\n"))
	require.ErrorContains(t, writeAs(t, config, path, "y\n"), "exists")
	link := filepath.Join(t.TempDir(), "link")
	target := filepath.Join(t.TempDir(), "target")
	require.NoError(t, os.Symlink(target, link))
	require.Error(t, writeAs(t, config, link, "y\n"))
	require.NoFileExists(t, target)
}

func writeAs(t *testing.T, config, path, answer string) error {
	t.Helper()
	a := &app{out: &output{w: io.Discard}, err: io.Discard, config: config, timeout: patience}
	return errors.Join(a.support(t.Context(), path, false, strings.NewReader(answer)))
}

func bundle(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewReader(f)
	require.NoError(t, err)
	out := map[string]string{}
	for in := tar.NewReader(zip); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		text, err := io.ReadAll(in)
		require.NoError(t, err)
		out[header.Name] = string(text)
	}
}
