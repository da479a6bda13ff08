package docker_test

import (
	"testing"

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

	d.Do(t, "DELETE", "/images/third/party:1?force=1", nil, nil)
	require.Empty(t, inspect(alone.ID).Labels, "the labels of a removed image are known")
	later, err := docker.Connect(d.Socket)
	require.NoError(t, err)
	t.Cleanup(later.Close)
	all, err := later.List(t.Context())
	require.NoError(t, err)
	for _, row := range all {
		row.ImageID = "sha256:" + image[len("sha256:"):len(image)-4] + "0000"
		row, err = later.WithoutImageLabels(t.Context(), row)
		require.NoError(t, err)
		require.Empty(t, row.Labels, "nothing is known of the image")
	}
}
