package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// listenOn makes the daemon's authority for address and has it listen there, as
// docs/topologies.md says.
func (s *instance) listenOn(address string) {
	s.t.Helper()
	host, _, _ := strings.Cut(address, ":")
	keys := regexp.MustCompile(`(?m)^tls_.*$`).FindAllString(s.ironpost("bus", "init", "--name", host), -1)
	require.Len(s.t, keys, 3)
	s.replace("[bus]", fmt.Sprintf("[bus]\nlisten = %q\n%s", address, strings.Join(keys, "\n")))
}

// run starts a program and ends it with the test. It returns what it writes to standard error.
func (s *instance) run(args ...string) *testenv.Buffer {
	s.t.Helper()
	log := &testenv.Buffer{}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = log
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s:\n%s", filepath.Base(args[0]), log)
		}
	})
	return log
}

// The log pipeline runs on a host of its own, in another network namespace: its alerts are stored on
// the daemon's host, whose status shows it, until its key is revoked.
func TestLogPipelineOnAnotherHost(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "netns", rootOnly())
	const hubAddress, edgeAddress = "10.91.0.1", "10.91.0.2"
	id := fmt.Sprintf("ip%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	hub, edge := id+"-hub", id+"-edge"
	for _, ns := range []string{hub, edge} {
		testenv.Require(t, "netns", command("ip", "netns", "add", ns))
		t.Cleanup(func() { require.NoError(t, command("ip", "netns", "del", ns)) })
		require.NoError(t, command(inNamespace(ns, "ip", "link", "set", "lo", "up")...))
	}
	require.NoError(t, command("ip", "link", "add", "wan", "netns", hub, "type", "veth", "peer", "name", "wan", "netns", edge))
	for ns, address := range map[string]string{hub: hubAddress, edge: edgeAddress} {
		require.NoError(t, command(inNamespace(ns, "ip", "addr", "add", address+"/24", "dev", "wan")...))
		require.NoError(t, command(inNamespace(ns, "ip", "link", "set", "wan", "up")...))
	}

	s := newInstance(t)
	s.wrap = inNamespace(hub)
	s.replace("[log_pipeline]", "[log_pipeline]\nenabled = false")
	s.listenOn(hubAddress + ":4443")
	s.ironpost("bus", "add-host", "edge-1", "--module", bus.LogPipeline, "--out", s.path("bundle"))
	joins, err := os.ReadFile(s.path("bundle/ironpost.toml"))
	require.NoError(t, err)
	require.Contains(t, string(joins), `url = "tls://`+hubAddress+`:4443"`)
	s.write("edge.log", "")
	text := strings.ReplaceAll(string(joins), "/etc/ironpost/bus", s.path("bundle"))
	text = strings.Replace(text, "[general]", fmt.Sprintf("[general]\ndata_dir = %q\npid_file = %q", s.path("edge"), s.path("run/edge.pid")), 1)
	s.write("edge.toml", text+fmt.Sprintf("[log_pipeline]\nsources = [\"file\"]\nwatch_paths = [%q]\n", s.path("edge.log")))

	log := s.run(inNamespace(edge, filepath.Join(s.bin, "ironpost-log-pipeline"), "-c", s.path("edge.toml"))...)
	s.start()
	s.eventually(func() bool { return strings.Contains(log.String(), `"ready"`) })
	f, err := os.OpenFile(s.path("edge.log"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(rootShell("mallory"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	s.eventually(func() bool { return len(s.alerts()) == 1 })
	require.Equal(t, "edge-1", s.alerts()[0].Host)
	status := s.ironpost("status")
	require.Regexp(t, `(?m)^log-pipeline +edge-1 +healthy`, status)
	require.Regexp(t, `(?m)^log-pipeline +stage +off`, status)

	s.ironpost("bus", "revoke", "edge-1")
	require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
	s.eventually(func() bool { return strings.Contains(log.String(), "bus connection lost") })
	require.NotContains(t, s.ironpost("status"), "edge-1")
}

// The example of docs/plug-ins.md is built outside of this module. What its alert asks for is
// proposed, and with the trust of a peer done.
func TestPluginOfTheDocumentation(t *testing.T) {
	t.Parallel()
	engine := testenv.Dockerd(t)
	plugin := buildPlugin(t)
	s := newInstance(t)
	s.write("policies/door.toml", "[[policy]]\nid = \"door\"\nactions = [\"isolate\"]\nrequire.signs = 1\nttl = \"1h\"\nmatch.rules = [\"door-opened\"]\n")
	s.replace("[log_pipeline]", fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n[log_pipeline]",
		engine.Socket, s.path("policies")))
	address := testenv.FreeAddr(t)
	s.listenOn(address)
	s.ironpost("bus", "add-module", "door-sensor", "--publish", "alerts", "--bus-url", "tls://"+address, "--out", s.path("unproven"))
	shop := engine.Run(t, testenv.ContainerOptions{Name: "shop", Cmd: []string{"/bin/sh", "-c", "sleep 1000"}})
	s.start()
	s.eventually(func() bool { return s.counter(bus.ContainerGuard, "containers") == 1 })

	s.run(plugin, s.path("unproven"), testHostName, "tls://"+address, shop)
	s.eventually(func() bool { return s.module("door-sensor").Status == event.Healthy && s.module("door-sensor").Enabled })
	s.eventually(func() bool {
		return strings.Contains(s.ironpost("actions", "--json"), "the plug-in door-sensor is unproven")
	})
	client, err := docker.Connect(engine.Socket)
	require.NoError(t, err)
	defer client.Close()
	c, _, err := client.Inspect(t.Context(), shop)
	require.NoError(t, err)
	require.False(t, c.Paused)

	s.ironpost("bus", "add-module", "door-sensor", "--publish", "alerts", "--trust", "peer", "--replace", "--bus-url", "tls://"+address, "--out", s.path("peer"))
	require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
	s.eventually(func() bool {
		return strings.Contains(s.log.String(), "configuration reloaded")
	})
	s.run(plugin, s.path("peer"), testHostName, "tls://"+address, shop)
	s.eventually(func() bool {
		c, _, err = client.Inspect(t.Context(), shop)
		return err == nil && c.Paused && len(c.Networks) == 0
	})
}

const testHostName = "stage" // of newInstance

// buildPlugin builds the example of docs/plug-ins.md in a module of its own.
func buildPlugin(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/plug-ins.md")
	require.NoError(t, err)
	code := regexp.MustCompile("(?s)<!-- file: main.go -->\n```go\n(.*?)```").FindSubmatch(page)
	require.Len(t, code, 2)
	repo, err := filepath.Abs("..")
	require.NoError(t, err)
	requirements, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	sums, err := os.ReadFile("../go.sum")
	require.NoError(t, err)
	dir := t.TempDir()
	module := strings.Replace(string(requirements), "module github.com/ironpost/ironpost", "module example.org/door", 1) +
		"\nrequire github.com/ironpost/ironpost v0.0.0\nreplace github.com/ironpost/ironpost => " + repo + "\n"
	for name, content := range map[string][]byte{"main.go": code[1], "go.mod": []byte(module), "go.sum": sums} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "door", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "door")
}
