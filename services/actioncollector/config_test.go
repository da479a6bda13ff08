package actioncollector_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector"
)

func TestConfigValidation(t *testing.T) {
	t.Parallel()
	c := actioncollector.DefaultConfig()
	require.True(t, c.Enabled)
	require.Empty(t, c.Validate())
	c.AuditRetentionDays = -1
	require.Equal(t, "audit_retention_days", c.Validate()[0].Key)
	c.AuditRetentionDays = 30
	require.Equal(t, 720*time.Hour, c.AuditRetention())
	c.AuditPath = "audit"
	require.Len(t, c.Validate(), 1)
	require.Equal(t, "audit_path", c.Validate()[0].Key)
}
