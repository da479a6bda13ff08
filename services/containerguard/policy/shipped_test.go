package policy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

func TestShippedPoliciesLoadWithoutWarnings(t *testing.T) {
	t.Parallel()
	set, err := policy.Load("../../../deploy/policies")
	require.NoError(t, err)
	require.Empty(t, set.Warnings)
	require.Empty(t, set.Mistakes)
	require.Len(t, set.Enabled(), 7)
}

// In place of the file of the same name, they make the block of an address that a container's line names need no proof.
func TestPoliciesOfTheStackLoadWithoutWarnings(t *testing.T) {
	t.Parallel()
	set, err := policy.Load("../../../deploy/compose/web-attack.toml")
	require.NoError(t, err)
	require.Empty(t, set.Warnings)
	require.Len(t, set.Enabled(), 5)
	for _, p := range set.Enabled() {
		ofContainer := slices.Equal(p.Match.Trust, []event.Trust{event.TrustContainer})
		require.Equal(t, ofContainer && p.Does(policy.BlockSource), p.Require.NoProof, p.ID)
		require.False(t, p.Require.NoProof && len(p.ContainerActions()) > 0, p.ID)
	}
}

// Packets alone do not prove who sent them, so they block an address for 10 minutes at most, and never one of our own.
func TestShippedPoliciesBlockByPacketsAloneForMinutes(t *testing.T) {
	t.Parallel()
	set, err := policy.Load("../../../deploy/policies")
	require.NoError(t, err)
	files, err := filepath.Glob("../../../rules/net_*.yml")
	require.NoError(t, err)
	blocking := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var rule struct {
			ID   string
			Tags []string
		}
		require.NoError(t, yaml.Unmarshal(data, &rule), file)
		for _, p := range set.Enabled() {
			ok, _ := p.Match.MatchesAlert(&event.Alert{Severity: event.Critical, Module: "log-pipeline", Rule: event.Rule{ID: rule.ID, Tags: rule.Tags}})
			if ok && p.Does(policy.BlockSource) {
				blocking++
				require.LessOrEqual(t, p.BlockTTL, 10*time.Minute, "%s: %s", p.ID, file)
				require.NotContains(t, file, "outbound")
			}
		}
	}
	require.Equal(t, 4, blocking, "port, host, block and slow scans")
}
