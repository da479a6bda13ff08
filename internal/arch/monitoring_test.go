package arch_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	for _, name := range []string{"ironpost_bus_edge_connected", "ironpost_forwarder_oldest_unsent_seconds"} {
		known[name] = true // of hubs and edges: TestEdgeAndHubOfAnEdge
	}
	known["ironpost_log_pipeline_alerts_by_rule_total"] = true // from the first alert on: TestAlertsAreCountedBySeverityAndRule
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
	for _, args := range [][]string{
		{"check", "config", "../../deploy/prometheus/prometheus.yml"},
		{"check", "config", "../../deploy/prometheus/modules.yml"},
		{"test", "rules", "testdata/alerts_test.yml"},
	} {
		out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
		require.NoError(t, err, string(out))
		require.NotContains(t, string(out), "WARN")
	}
}

// Every alert rule has a row in docs/operations.md that says what to do, and cases in the test of the rules: one in which
// it fires and one in which it does not.
func TestEveryAlertRuleIsDocumentedAndTested(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(text)
	}
	rules := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read("../../deploy/prometheus/alerts.yml"), -1)
	doc, tests := read("../../docs/operations.md"), read("testdata/alerts_test.yml")
	require.Greater(t, len(rules), 10)
	for _, rule := range rules {
		require.Regexp(t, "(?m)^\\| `"+rule[1]+"` \\| [^|]+ \\| [^|]+ \\|$", doc)
		require.Equal(t, 2, strings.Count(tests, "alertname: "+rule[1]+"\n")+strings.Count(tests, "alertname: "+rule[1]+","), rule[1])
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(Ironpost\\w+)`").FindAllStringSubmatch(doc, -1) {
		require.True(t, slices.ContainsFunc(rules, func(rule []string) bool { return rule[1] == row[1] }), "there is no alert rule %s", row[1])
	}
}
