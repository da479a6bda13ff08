package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// A line in a container's log becomes an alert, the container
// is isolated, the attacker blocked, the audit trail intact, and the release restores the
// container. The policies are those of the stack: the attacker does not connect.
func TestWebShellInContainerIsIsolated(t *testing.T) {
	t.Parallel()
	engine := testenv.Dockerd(t)
	s := newInstance(t)
	policies := stackPolicies(t)
	s.appendConfig(fmt.Sprintf(`
[container]
enabled = true
auto_isolate = true
docker_socket = %q
policy_path = %q
`, engine.Socket, policies))
	s.replace(`sources = ["syslog", "file"]`, `sources = ["docker"]`)
	script := "mkfifo /log; while true; do cat /log; done"
	shop := engine.Run(t, testenv.ContainerOptions{Name: "shop", Restart: "always", Cmd: []string{"/bin/sh", "-c", script}})
	blog := engine.Run(t, testenv.ContainerOptions{Name: "blog", Cmd: []string{"/bin/sh", "-c", script}})
	s.start()
	s.eventually(func() bool { return s.counter(bus.ContainerGuard, "containers") == 2 })

	line := fmt.Sprintf(`203.0.113.66 - - [%s] "GET /uploads/x.php?cmd=id HTTP/1.1" 200 57 "-" "curl/8"`, time.Now().Format("02/Jan/2006:15:04:05 -0700"))
	engine.Exec(t, shop, "/bin/sh", "-c", "until [ -p /log ]; do sleep 0.01; done; cat > /log <<'END'\n"+line+"\nEND")
	s.eventually(func() bool { return strings.Contains(s.ironpost("quarantine", "list"), "held") })
	list := s.ironpost("quarantine", "list")
	require.Contains(t, list, "shop")
	require.NotContains(t, list, "blog")

	client, err := docker.Connect(engine.Socket)
	require.NoError(t, err)
	defer client.Close()
	c, _, err := client.Inspect(t.Context(), shop)
	require.NoError(t, err)
	require.True(t, c.Paused)
	require.Empty(t, c.Networks)
	c, _, err = client.Inspect(t.Context(), blog)
	require.NoError(t, err)
	require.False(t, c.Paused)

	require.Contains(t, s.ironpost("blocklist", "list"), "203.0.113.66")
	alert := s.alerts()[0]
	require.Equal(t, &event.Container{ID: shop, Name: "shop", Image: testenv.DockerImage}, alert.Container)
	s.eventually(func() bool { return strings.Contains(s.ironpost("evidence", "show", "shop"), "logs.jsonl") })
	require.Contains(t, s.ironpost("evidence", "show", "shop", "--file", "logs.jsonl"), "uploads/x.php")

	require.Contains(t, s.ironpost("release", "shop", "--reason", "mended"), "released")
	c, _, err = client.Inspect(t.Context(), shop)
	require.NoError(t, err)
	require.False(t, c.Paused)
	require.Len(t, c.Networks, 1)
	require.Equal(t, "always", c.RestartPolicy.Name)

	var actions []event.Action
	s.eventually(func() bool {
		actions = nil
		for dec := json.NewDecoder(strings.NewReader(s.ironpost("actions", "--json"))); dec.More(); {
			var a event.Action
			require.NoError(t, dec.Decode(&a))
			actions = append(actions, a)
		}
		return strings.Contains(s.ironpost("actions"), "released") && strings.Contains(s.ironpost("audit", "verify"), fmt.Sprintf("intact: %d records", len(actions)))
	})
	for _, a := range actions {
		if a.AlertID != "" {
			require.Equal(t, alert.TraceID, a.TraceID, "one trace from the line to the audit record: %s %s", a.Kind, a.Phase)
		}
	}
}

// appendConfig adds to the configuration.
func (s *instance) appendConfig(text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path("ironpost.toml"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(s.t, err)
	_, err = f.WriteString(text)
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
}

// stackPolicies returns a folder with the policies of docker-compose.yml, which need no connection to a container to block an address. Here the
// log is sign enough to isolate one.
func stackPolicies(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../deploy/policies")))
	text, err := os.ReadFile("../deploy/compose/web-attack.toml")
	require.NoError(t, err)
	text = bytes.Replace(text, []byte(`id = "container-web-shell-isolate"`), []byte("id = \"container-web-shell-isolate\"\nrequire.signs = 1"), 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "web-attack.toml"), text, 0o600))
	return dir
}
