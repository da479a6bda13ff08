package docker_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

func TestGeneratedPageListsEveryCall(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString(`# Calls to Docker

Generated from ` + "`internal/docker`" + `; a test compares it with the requests that are really sent. Every path is also
sent with a version before it (` + "`/v1.41`" + `). Containers and images are named by full id.

| feature | method | path | why |
|---|---|---|---|
`)
	for _, c := range docker.Calls() {
		fmt.Fprintf(&page, "| %s | %s | `%s` | %s |\n", c.Feature, c.Method, c.Path, c.Why)
	}
	page.WriteString(`
Never used: create, start, stop, exec, archive, commit, build, changes to images, volumes, plugins, swarm.

## Behind a socket proxy

A program that may use Docker's socket is root on its machine. ` + "`ironpost-socket-proxy`" + ` stands between the socket and the modules, and
forwards these calls only:

` + "```" + `sh
ironpost-socket-proxy --listen /run/docker-guard/docker.sock --allow inventory,pause,disconnect,restart-policy,kill,evidence,restart
` + "```" + `

` + "`--allow`" + ` takes the features of the table; session is always among them. The container guard needs those above, less what you do
not use; the log pipeline ` + "`logs`" + `; the SBOM scanner ` + "`images`" + `, for which it should have a proxy of its own, because who may export images
reads every file in them. Then set ` + "`docker_socket = \"/run/docker-guard/docker.sock\"`" + ` in ` + "`[container]`" + `, or in ` + "`[sbom]`" + `.

Anybody who reaches its socket, of mode 0660, may send these calls: put it into a folder that only the module's user reaches, as
` + "`docker-compose.yml`" + ` does. It listens on an address and port, too (` + "`--listen 127.0.0.1:2375`, `tcp://127.0.0.1:2375`" + `), which every user of the
machine reaches. What may be read is not filtered: ` + "`/containers/{id}/json`" + ` shows the environment of every container, and so passwords
in it. It also refuses parameters that Ironpost does not send (another signal, arguments of ps), and every field of a
body but the restart policy (update), the container (disconnect), and the container and its addresses, aliases and options
(connect). What it refuses gets 403, is counted (` + "`/metrics`" + `, also printed by ` + "`--check`" + `), and is logged: the first 20, then one every 3 seconds. It neither needs root nor a
capability, only the group of the socket. Behind a proxy, a release restarts the container if the guard cannot see the host's processes.
`)
	compare(t, "../../docs/docker-api.md", page.String())
}

func compare(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	is, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(is), "run: go test ./internal/docker -run Generated -update")
}
