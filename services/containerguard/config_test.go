package containerguard_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard"
)

func TestTheDefaultsAreValidAndOnlyADryRun(t *testing.T) {
	t.Parallel()
	c := containerguard.DefaultConfig()
	require.Empty(t, c.Validate())
	require.False(t, c.Enabled)
	require.False(t, c.AutoIsolate)
}

func TestBounds(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, p := range (containerguard.Config{DockerSocket: "unix:///var/run/docker.sock", PollIntervalSecs: 3601}).Validate() {
		keys = append(keys, p.Key)
	}
	require.Equal(t, []string{"docker_socket", "poll_interval_secs", "policy_path"}, keys)
}
