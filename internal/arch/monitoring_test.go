package arch_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

var metricName = regexp.MustCompile(`\bironpost_[a-z_]+\b`)

// Dashboards and alert rules use names that the program has, and are well-formed.
func TestMonitoringUsesMetricsThatExist(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("../../cmd/internal/suite/testdata/metrics.golden")
	require.NoError(t, err)
	known := map[string]bool{}
	for line := range strings.Lines(string(golden)) {
		name, _, _ := strings.Cut(line, " ")
		known[name] = true
	}
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range append(files, "../../deploy/prometheus/alerts.yml") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		names := metricName.FindAllString(string(text), -1)
		require.NotEmpty(t, names, path)
		for _, name := range names {
			require.True(t, known[name], "%s: there is no metric %s", path, name)
		}
		if filepath.Ext(path) == ".json" {
			var dashboard struct {
				UID    string
				Title  string
				Panels []struct {
					ID      int
					Title   string
					Targets []struct{ Expr string }
				}
			}
			require.NoError(t, json.Unmarshal(text, &dashboard), path)
			require.NotEmpty(t, dashboard.UID+dashboard.Title, path)
			ids := map[int]bool{}
			for _, p := range dashboard.Panels {
				require.False(t, ids[p.ID], "%s: two panels have the id %d", path, p.ID)
				ids[p.ID] = true
				require.NotEmpty(t, p.Targets, "%s: %s", path, p.Title)
			}
		}
	}
}

func TestPrometheusAcceptsItsConfiguration(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("promtool")
	testenv.Require(t, "prometheus", err)
	out, err := exec.CommandContext(t.Context(), "promtool", "check", "config", "../../deploy/prometheus/prometheus.yml").CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "WARN")
}
