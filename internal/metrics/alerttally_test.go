package metrics_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/metrics"
)

func TestAlertsAreCountedBySeverityAndRule(t *testing.T) {
	t.Parallel()
	var tally metrics.AlertTally
	described := metrics.Described{}
	tally.Describe(described)
	reg := prometheus.NewRegistry()
	_, err := metrics.Export(reg, "m_", described, tally.Send)
	require.NoError(t, err)
	count := func(name string) int {
		t.Helper()
		n, err := testutil.GatherAndCount(reg, name)
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 5, count("m_alerts_by_severity_total"), "before the first alert")
	require.Zero(t, count("m_alerts_by_rule_total"))
	for i := range 3000 {
		tally.Add(&event.Alert{Rule: event.Rule{ID: fmt.Sprint("rule-", i)}, Severity: event.High})
		tally.Add(&event.Alert{Rule: event.Rule{ID: "rule-1"}, Severity: event.Low})
	}
	require.Equal(t, 5, count("m_alerts_by_severity_total"))
	require.Equal(t, 1001, count("m_alerts_by_rule_total"), "rules are bounded, the rest is one")
	families, err := reg.Gather()
	require.NoError(t, err)
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			rule := ""
			for _, l := range m.GetLabel() {
				if l.GetName() == "rule" {
					rule = l.GetValue()
				}
			}
			sums[f.GetName()] += m.GetCounter().GetValue()
			if rule == "other" {
				require.EqualValues(t, 3000-999, m.GetCounter().GetValue())
			}
		}
	}
	require.Equal(t, map[string]float64{"m_alerts_by_severity_total": 6000, "m_alerts_by_rule_total": 6000}, sums)
}
