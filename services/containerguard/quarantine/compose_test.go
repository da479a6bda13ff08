package quarantine_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

const composeFile = `version: "2.4"
services:
  web:
    image: ` + testenv.DockerImage + `
    command: ["/bin/sleep", "3600"]
    restart: always
    networks: {back: {aliases: [www]}}
  db:
    image: ` + testenv.DockerImage + `
    command: ["/bin/sleep", "3600"]
    networks: [back]
networks: {back: {}}
`

// stack is a Compose project run by the real docker-compose.
type stack struct {
	dockerd *testenv.Docker
	dir     string
}

func newStack(t *testing.T, dockerd *testenv.Docker) *stack {
	t.Helper()
	_, err := exec.LookPath("docker-compose")
	testenv.Require(t, "docker-compose", err)
	s := &stack{dockerd: dockerd, dir: filepath.Join(t.TempDir(), "shop")}
	require.NoError(t, os.Mkdir(s.dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "docker-compose.yml"), []byte(composeFile), 0o600))
	return s
}

func (s *stack) compose(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-compose", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+s.dockerd.Socket, "COMPOSE_PROJECT_NAME=shop")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// container returns the one container of a service.
func (s *stack) container(t *testing.T, g *guard, service string) docker.Container {
	t.Helper()
	all, err := g.client.List(t.Context())
	require.NoError(t, err)
	var found []docker.Container
	for _, c := range all {
		if c.Project == "shop" && c.Service == service {
			found = append(found, g.inspect(t, c.ID))
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

func TestDockerComposeDoesNotUndoQuarantine(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	s := newStack(t, d)
	g := newGuard(t, d, nil)
	g.run(t)
	s.compose(t, "up", "-d")
	web, db := s.container(t, g, "web"), s.container(t, g, "db")
	require.NoError(t, g.manager.Apply(t.Context(), g.order(web.ID, quarantine.Isolate)))
	require.True(t, g.isolated(t, web.ID))

	s.compose(t, "up", "-d", "-t", "1", "--force-recreate", "web")
	made := time.Now()
	recreated := s.container(t, g, "web")
	require.NotEqual(t, web.ID, recreated.ID)
	require.Eventually(t, func() bool { return g.isolated(t, recreated.ID) }, within, 5*time.Millisecond)
	t.Logf("isolated again %v after compose was done", time.Since(made))
	require.Eventually(t, func() bool { return len(g.manager.List()) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.False(t, s.container(t, g, "db").Paused)
	require.Equal(t, db.ID, s.container(t, g, "db").ID)

	g.release(t, web.ID)
	after := s.container(t, g, "web")
	require.Equal(t, recreated.ID, after.ID)
	require.True(t, after.Running && !after.Paused)
	require.Equal(t, "always", after.RestartPolicy.Name)
	require.Len(t, after.Networks, 1)
	require.Equal(t, web.Networks[0].Network, after.Networks[0].Network)
	require.Contains(t, after.Networks[0].Aliases, "www")
	s.compose(t, "up", "-d")
	require.Equal(t, recreated.ID, s.container(t, g, "web").ID, "compose sees no change")
	s.compose(t, "down", "-t", "1")
}
