package containerguard_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard"
)

func TestDefaultsAreValidAndOnlyDryRuns(t *testing.T) {
	t.Parallel()
	c := containerguard.DefaultConfig()
	require.Empty(t, c.Validate())
	require.False(t, c.Enabled)
	require.False(t, c.AutoIsolate)
}

func TestValidateNamesEveryWrongKey(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, p := range (containerguard.Config{
		DockerSocket: "unix:///var/run/docker.sock", PollIntervalSecs: 3601, Protected: []string{"core-*", ""},
		NeverBlock: []string{"192.0.2.0/24", "::1", "home"}, WebhookURL: "ftp://x", WebhookURLFile: "secret",
	}).Validate() {
		keys = append(keys, p.Key)
	}
	require.Equal(t, []string{
		"docker_socket", "poll_interval_secs", "policy_path", "max_alert_age_secs", "approval_timeout_secs", "max_per_minute", "max_per_project",
		"max_share_percent", "max_blocks_per_minute", "max_blocks", "max_blocks_per_source", "protected.1", "never_block.2", "evidence_max_bytes", "evidence_retention_days",
		"webhook_url", "webhook_url_file",
	}, keys)
}

func TestSocketMayBeAProxy(t *testing.T) {
	t.Parallel()
	c := containerguard.DefaultConfig()
	c.DockerSocket = "tcp://docker-proxy:2375"
	require.Empty(t, c.Validate())
	c.DockerSocket = "tcp://docker-proxy"
	require.Len(t, c.Validate(), 1)
}

func TestValidateNeverShowsTheWebhookURL(t *testing.T) {
	t.Parallel()
	c := containerguard.DefaultConfig()
	c.WebhookURL = "gopher://SECRET"
	require.NotContains(t, c.Validate()[0].What, "SECRET")
}
