package quarantine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// The evidence has what the container's processes ran and whom they talked to, but no
// password from its environment.
func TestEvidenceHasSocketsAndExecutablesButNoPasswords(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Network(t, "shop", "10.82.0.0/24")
	g := newGuard(t, d, nil)
	server := d.Run(t, testenv.ContainerOptions{Network: "shop", Cmd: []string{"/bin/nc", "-ll", "-p", "9", "-e", "/bin/sleep", "600"}})
	address := containerAddress(t, d, server, "shop")
	script := "cp /bin/busybox /tmp/nc; nc -ll -p 4444 -e /bin/sh & sleep 600 | /tmp/nc " + address + " 9"
	id := d.Run(t, testenv.ContainerOptions{
		Network: "shop", Env: []string{"DB_PASSWORD=hunter2", "EMPTY="}, Cmd: []string{"/bin/sh", "-c", script},
	})
	require.Eventually(t, func() bool {
		return strings.Contains(d.Exec(t, id, "/bin/sh", "-c", "cat /proc/net/tcp /proc/net/tcp6"), ":0009 01")
	}, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
	action := g.order(id, quarantine.Isolate).ActionID
	m := manifest(t, g.dir, action)
	require.False(t, m.Partial, "%+v", m)

	files, err := filepath.Glob(filepath.Join(g.dir, "evidence", action, "*"))
	require.NoError(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(raw), "hunter2", file)
	}
	inspect := evidence(t, g.dir, action, "inspect.json")
	require.Contains(t, inspect, `"DB_PASSWORD=(7 bytes redacted)"`)
	require.Contains(t, inspect, `"EMPTY=(0 bytes redacted)"`)
	require.Contains(t, inspect, `"Paused":true`)

	var sockets []map[string]any
	decodeLines(t, evidence(t, g.dir, action, "sockets.jsonl"), &sockets)
	var listens, connected bool
	for _, s := range sockets {
		local, _ := s["local"].(string)
		listens = listens || s["state"] == "listen" && strings.HasSuffix(local, ":4444") && s["pids"] != nil
		connected = connected || s["state"] == "established" && s["remote"] == address+":9" && s["pids"] != nil
	}
	require.True(t, listens && connected, "%v", sockets)

	var executables []map[string]any
	decodeLines(t, evidence(t, g.dir, action, "executables.jsonl"), &executables)
	require.GreaterOrEqual(t, len(executables), 3)
	path, err := exec.LookPath("busybox") // the image has that of the host
	require.NoError(t, err)
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(program)
	paths := map[any]bool{}
	for _, e := range executables {
		paths[e["path"]] = true
		require.Equal(t, hex.EncodeToString(sum[:]), e["sha256"], "%v", e)
	}
	require.True(t, paths["/tmp/nc"], "%v", paths)
}

func decodeLines(t *testing.T, text string, into *[]map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		*into = append(*into, v)
	}
}
