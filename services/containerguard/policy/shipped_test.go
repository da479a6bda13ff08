package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

func TestShippedPoliciesLoadWithoutWarnings(t *testing.T) {
	t.Parallel()
	set, err := policy.Load("../../../deploy/policies")
	require.NoError(t, err)
	require.Empty(t, set.Warnings)
	require.Len(t, set.Enabled(), 6)
}
