package containerguard

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// Alerts are answered in this order; those before the urgent ones end wait for no others.
func TestUnprovenAlertsRankOneSeverityLower(t *testing.T) {
	t.Parallel()
	order := []struct {
		module   string
		severity event.Severity
		trust    event.Trust
		urgent   bool
	}{
		{bus.LogPipeline, event.Critical, event.TrustHost, true},
		{bus.LogPipeline, event.High, event.TrustContainer, true},
		{bus.LogPipeline, event.Critical, event.TrustPeer, true},
		{bus.LogPipeline, event.Medium, event.TrustKernel, false},
		{"plug-in", event.High, event.TrustKernel, false},
		{bus.LogPipeline, event.Low, event.TrustHost, false},
		{bus.LogPipeline, event.Medium, event.TrustUnproven, false},
	}
	before := 100
	for _, o := range order {
		data, err := json.Marshal(&event.Alert{Module: bus.EBPFEngine, Severity: o.severity, Trust: o.trust})
		require.NoError(t, err)
		rank, _ := rankAlert(bus.Delivery{Subject: bus.AlertSubject(o.module, "h"), Data: data})
		require.Less(t, rank, before, o)
		require.Equal(t, o.urgent, rank >= urgentRank, o)
		before = rank
	}
}
