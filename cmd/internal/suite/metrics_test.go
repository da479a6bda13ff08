package suite_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

const metricNames = "testdata/metrics.golden"

// TestGoldenMetrics holds the names, types and labels of everything Ironpost exposes:
// dashboards and alert rules depend on them.
func TestGoldenMetrics(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure("[container]\nenabled = true\ndocker_socket = \"/nosuch.sock\"\npolicy_path = \"/nosuch\"\n" +
		fmt.Sprintf("[sbom]\nenabled = true\nscan_dirs = [%q]\nvuln_db_url = \"\"\n", i.dir+"/apps") + // not there: unread_files has no value
		"[ebpf]\nenabled = true\ninterface = \"nosuch0\"\npin_path = \"/proc/ironpost\"\n" + // neither is there
		"[log_pipeline.storage]\npostgres_url = \"postgres://127.0.0.1:1/nosuch\"\n" +
		"[log_pipeline]\nsources = [\"file\", \"syslog\"]\n" +
		fmt.Sprintf("watch_paths = [%q]\nsyslog_bind = %q\nsyslog_tcp_bind = %q\n", i.dir+"/app.log", freePort(t), freePort(t)))
	i.start()
	i.await("health")
	var body string
	require.Eventually(t, func() bool {
		_, body = i.get("/metrics")
		return strings.Contains(body, "ironpost_bus_stream_messages") && strings.Contains(body, "ironpost_log_pipeline_lines_total") && strings.Contains(body, "ironpost_ebpf_engine_packets_total") &&
			strings.Contains(body, "ironpost_sbom_scanner_scans_total") && strings.Contains(body, "ironpost_container_guard_alerts_total") && strings.Contains(body, "ironpost_action_collector_postgres_up")
	}, patience, patience/1000)
	require.Zero(t, i.stop(), i.stderr.String())

	problems, err := promlint.New(strings.NewReader(body)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	got := describe(t, body)
	if flag.Lookup("update").Value.String() == "true" { // defined beside the generated reference
		require.NoError(t, os.WriteFile(metricNames, []byte(got), 0o644))
	}
	want, err := os.ReadFile(metricNames)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "changed on purpose? make generate")
}

// describe returns a line for each metric of ours: name, type and labels.
func describe(t *testing.T, body string) string {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if strings.HasPrefix(name, "ironpost_") {
			f := families[name]
			fmt.Fprintf(&out, "%s %s %s\n", name, strings.ToLower(f.GetType().String()), labels(f))
		}
	}
	return out.String()
}

func labels(f *dto.MetricFamily) string {
	names := map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			names[l.GetName()] = true
		}
	}
	return "{" + strings.Join(slices.Sorted(maps.Keys(names)), ",") + "}"
}
