package docker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestLabelsOfTheImageDoNotCount(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	c, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	const project, service, hash = "com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.config-hash"
	image := d.Image(t, "third/party:1", map[string]string{
		"ironpost.protected": "true", "ironpost.logs": "off", "team": "theirs", project: "prod", service: "db",
	})
	inspect := func(id string) docker.Container {
		found, _, err := c.Inspect(t.Context(), id)
		require.NoError(t, err)
		return found
	}
	run := func(labels map[string]string) docker.Container {
		return inspect(d.Run(t, testenv.ContainerOptions{Image: "third/party:1", Labels: labels}))
	}

	alone := run(nil)
	require.Empty(t, alone.Labels)
	require.Equal(t, "true", alone.ImageLabels["ironpost.protected"])
	require.Empty(t, alone.Project+alone.Service, "an image takes the place of no service")

	given := run(map[string]string{"ironpost.protected": "yes", "ironpost.logs": "off"})
	require.Equal(t, map[string]string{"ironpost.protected": "yes"}, given.Labels, "the same value may be the image's")
	require.Equal(t, "off", given.ImageLabels["ironpost.logs"])

	composed := run(map[string]string{project: "prod", service: "db", hash: "1f"})
	require.Equal(t, []string{"prod", "db"}, []string{composed.Project, composed.Service}, "Compose labels what it builds, too")

	c.TrustImageLabels([]string{"third/*"})
	require.Equal(t, "true", inspect(alone.ID).Labels["ironpost.protected"])
	c.TrustImageLabels([]string{"other/*"})

	for _, c := range []docker.Container{alone, given, composed} {
		d.Do(t, "POST", "/containers/"+c.ID+"/kill", nil, nil)
		require.Eventually(t, func() bool { return !inspect(c.ID).Running }, 10*time.Second, 10*time.Millisecond)
	}
	d.Do(t, "DELETE", "/images/"+image+"?force=1", nil, nil)
	require.Equal(t, "yes", inspect(given.ID).Labels["ironpost.protected"], "what a removed image had is known")
	later, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(later.Close)
	unknown, _, err := later.Inspect(t.Context(), given.ID)
	require.NoError(t, err)
	require.Empty(t, unknown.Labels)
	require.Equal(t, "yes", unknown.ImageLabels["ironpost.protected"], "nothing is known of the image")
}
