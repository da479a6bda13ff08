package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// maxExposure bounds the score of systemd-analyze security: 0 is closed, 10 is open.
const maxExposure = 2.1

func units(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.service")
	require.NoError(t, err)
	require.Len(t, files, 6)
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// proxyUnit writes the unit of the page about external servers into dir and returns its path.
func proxyUnit(t *testing.T, dir string) string {
	t.Helper()
	example := regexp.MustCompile("(?s)<!-- file: (ironpost-bus-proxy.service) -->\n```\n(.*?)```").FindStringSubmatch(read(t, "../../docs/topologies.md"))
	require.Len(t, example, 3)
	path := filepath.Join(dir, example[1])
	require.NoError(t, os.WriteFile(path, []byte(example[2]), 0o600))
	return path
}

// analyze returns what systemd-analyze says.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	_, err := exec.LookPath("systemd-analyze")
	testenv.Require(t, "systemd-analyze", err)
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// Systemd understands every line. Our programs are not installed here, so another takes their place.
func TestUnitsAreVerified(t *testing.T) {
	dir := t.TempDir()
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, name := range append(units(t), proxyUnit(t, dir)) {
		text := regexp.MustCompile(`/usr/bin/ironpost\S*`).ReplaceAllString(read(t, name), "/bin/true")
		path := filepath.Join(dir, filepath.Base(name))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		args = append(args, path)
	}
	require.Empty(t, analyze(t, args...))
}

func TestUnitsAreHardened(t *testing.T) {
	level := regexp.MustCompile(`Overall exposure level for \S+: (\d+\.\d)`)
	for _, name := range append(units(t), proxyUnit(t, t.TempDir())) {
		m := level.FindStringSubmatch(analyze(t, "security", "--no-pager", "--offline=true", name))
		require.NotNil(t, m, name)
		score, err := strconv.ParseFloat(m[1], 64)
		require.NoError(t, err)
		t.Logf("%s: %.1f (bar: at most %.1f)", name, score, maxExposure)
		require.LessOrEqual(t, score, maxExposure, name)
	}
}

// What the units restrict alike is written in each: it must not drift apart.
func TestUnitsShareTheirRestrictions(t *testing.T) {
	shared := func(name string) string {
		text := read(t, name)
		from, to := strings.Index(text, "StateDirectory="), strings.Index(text, "SystemCallErrorNumber=")
		require.Positive(t, from, name)
		require.Greater(t, to, from, name)
		return text[from:to]
	}
	for _, name := range units(t) {
		require.Equal(t, shared("ironpost.service"), shared(name), name)
	}
}

// Each service program has a unit, which starts it, and a place in a package.
func TestEveryProgramHasAUnitAndAPackage(t *testing.T) {
	programs, err := filepath.Glob("../../cmd/ironpost-*")
	require.NoError(t, err)
	programs = slices.DeleteFunc(programs, func(path string) bool { return strings.HasSuffix(path, "-socket-proxy") }) // for containers
	require.Len(t, programs, 6)
	packages := read(t, "../packages/ironpost.yaml") + read(t, "../packages/ironpost-modules.yaml")
	for _, program := range programs {
		name := filepath.Base(program)
		unit := strings.TrimSuffix(name, "-daemon") + ".service"
		require.Contains(t, read(t, unit), "\nExecStart=/usr/bin/"+name+"\n")
		require.Contains(t, packages, "dst: /usr/bin/"+name+"}")
	}
}
