package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/testenv"
)

// buildNATS compiles the server that go.mod names, once per test binary.
var buildNATS = sync.OnceValues(func() (string, error) {
	dir, err := build()
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return filepath.Join(dir, "nats-server"), nil
})

// natsServer is one server of a cluster.
type natsServer struct {
	name, clients, routes, monitor string
	cmd                            *exec.Cmd
}

// natsCluster is three servers, configured as docs/topologies.md says, with the keys that the command
// made for the daemon of s.
type natsCluster struct {
	s       *instance
	bin     string
	servers []*natsServer
}

// newCluster makes keys and configurations. The daemon of s runs all its modules on the cluster, and
// hosts have a bundle each, of the log pipeline.
func newCluster(s *instance, hosts ...string) *natsCluster {
	s.t.Helper()
	bin, err := buildNATS()
	require.NoError(s.t, err)
	c := &natsCluster{s: s, bin: bin}
	var urls []string
	for _, name := range []string{"nats-1", "nats-2", "nats-3"} {
		n := &natsServer{name: name, clients: testenv.FreeAddr(s.t), routes: testenv.FreeAddr(s.t), monitor: testenv.FreeAddr(s.t)}
		c.servers, urls = append(c.servers, n), append(urls, "tls://"+n.clients)
	}
	url := strings.Join(urls, ",")
	s.ironpost("bus", "init")
	s.ironpost("bus", "add-host", testHostName, "--daemon", "--bus-url", url, "--out", s.path("bundle"))
	for _, host := range hosts {
		s.ironpost("bus", "add-host", host, "--module", bus.LogPipeline, "--bus-url", url, "--out", s.path(host))
	}
	s.write("nats/ironpost-account.conf", s.ironpost("bus", "account"))
	page, err := os.ReadFile("../docs/topologies.md")
	require.NoError(s.t, err)
	example := regexp.MustCompile("(?s)<!-- file: nats-server.conf -->\n```\n(.*?)```").FindSubmatch(page)
	require.Len(s.t, example, 2)
	for _, n := range c.servers {
		s.write("nats/"+n.name+".conf", c.configuration(string(example[1]), n))
	}
	bundle, err := os.ReadFile(s.path("bundle/ironpost.toml"))
	require.NoError(s.t, err)
	_, section, _ := strings.Cut(strings.ReplaceAll(string(bundle), "/etc/ironpost/bus", s.path("bundle")), "[bus]\n")
	s.replace("[bus]\n", "[bus]\nreplicas = 3\n"+section)
	return c
}

// configuration returns the example with the name, the addresses and the files of n.
func (c *natsCluster) configuration(example string, n *natsServer) string {
	pairs := []string{
		"server_name: nats-1", "server_name: " + n.name, "0.0.0.0:4222", n.clients, "0.0.0.0:6222", n.routes,
		"/var/lib/nats", c.s.path("nats/" + n.name), "/etc/nats", c.s.path("data/pki"),
	}
	for _, other := range c.servers {
		pairs = append(pairs, other.name+".example.org:6222", other.routes)
	}
	return strings.NewReplacer(pairs...).Replace(example)
}

// start starts servers, all if none is named, and waits until there is a leader.
func (c *natsCluster) start(servers ...*natsServer) {
	c.s.t.Helper()
	if len(servers) == 0 {
		servers = c.servers
	}
	for _, n := range servers {
		log := &testenv.Buffer{}
		n.cmd = exec.Command(c.bin, "-c", c.s.path("nats/"+n.name+".conf"), "-m", n.monitor[strings.LastIndexByte(n.monitor, ':')+1:])
		n.cmd.Stderr = log
		require.NoError(c.s.t, n.cmd.Start())
		cmd := n.cmd
		c.s.t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if c.s.t.Failed() {
				c.s.t.Logf("%s:\n%s", n.name, log)
			}
		})
	}
	c.s.eventually(func() bool { return c.metaLeader() != nil })
}

// kill ends servers with SIGKILL.
func (c *natsCluster) kill(servers ...*natsServer) {
	for _, n := range servers {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// leaders is a part of what a server says about JetStream.
type leaders struct {
	Meta struct {
		Leader string `json:"leader"`
		Size   int    `json:"cluster_size"`
	} `json:"meta_cluster"`
	Accounts []struct {
		Streams []struct {
			Name    string `json:"name"`
			Cluster struct {
				Leader string `json:"leader"`
			} `json:"cluster"`
		} `json:"stream_detail"`
	} `json:"account_details"`
}

// ask returns what a running server says.
func (c *natsCluster) ask() leaders {
	var out leaders
	for _, n := range c.servers {
		answer, err := http.Get("http://" + n.monitor + "/jsz?streams=true")
		if err != nil {
			continue
		}
		err = json.NewDecoder(answer.Body).Decode(&out)
		_ = answer.Body.Close()
		if err == nil && out.Meta.Leader != "" {
			break
		}
	}
	return out
}

func (c *natsCluster) named(name string) *natsServer {
	i := slices.IndexFunc(c.servers, func(n *natsServer) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return c.servers[i]
}

// metaLeader returns the leader of the cluster, nil if it has none.
func (c *natsCluster) metaLeader() *natsServer {
	said := c.ask()
	if said.Meta.Size != len(c.servers) {
		return nil
	}
	return c.named(said.Meta.Leader)
}

// streamLeader returns the leader of the stream of alerts, nil if it has none.
func (c *natsCluster) streamLeader() *natsServer {
	for _, account := range c.ask().Accounts {
		for _, s := range account.Streams {
			if s.Name == string(bus.Alerts) {
				return c.named(s.Cluster.Leader)
			}
		}
	}
	return nil
}

// healthy waits until every enabled module is healthy, but for what it has not got here: the guard no
// Docker, the scanner no advisories.
func (c *natsCluster) healthy() {
	c.s.t.Helper()
	c.s.eventually(func() bool {
		out, _, _ := c.s.command("status", "--json")
		var status struct {
			Silent  []string
			Modules []struct {
				Name, Status string
				Enabled      bool
				Reasons      []string
			}
		}
		if json.Unmarshal([]byte(out), &status) != nil || len(status.Silent) > 0 {
			return false
		}
		for _, m := range status.Modules {
			lacks := map[string]string{bus.ContainerGuard: "dockerd is not reachable", bus.SBOMScanner: "no advisories"}[m.Name]
			expected := lacks != "" && len(m.Reasons) == 1 && strings.Contains(m.Reasons[0], lacks)
			if m.Enabled && m.Status != "healthy" && !expected {
				return false
			}
		}
		return len(status.Modules) > 0
	})
}

// command runs the operator's command and returns its output and exit code.
func (s *instance) command(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "ironpost"), append([]string{"-c", s.path("ironpost.toml")}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the code says how it ended
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// newClusterStage starts a cluster, a daemon with all modules on it, and the log pipeline of web-1. Every
// alert of the daemon's host is answered with a notification.
func newClusterStage(t *testing.T) (*instance, *natsCluster) {
	t.Helper()
	testenv.Require(t, "netns", rootOnly())
	s := newInstance(t)
	port := fmt.Sprintf("ip%d", os.Getpid())
	require.NoError(t, command("ip", "link", "add", port+"a", "type", "veth", "peer", "name", port+"b"))
	t.Cleanup(func() { require.NoError(t, command("ip", "link", "del", port+"a")) })
	require.NoError(t, command("ip", "link", "set", port+"a", "up"))
	pins := "/sys/fs/bpf/" + port
	t.Cleanup(func() { _ = os.RemoveAll(pins) })
	s.write("policies.toml", "[[policy]]\nid = \"all\"\nactions = [\"notify\"]\nmatch.severity = \"info\"\n")
	s.appendConfig(fmt.Sprintf("[ebpf]\nenabled = true\ninterface = %q\npin_path = %q\n[sbom]\nenabled = true\nscan_dirs = [%q]\nvuln_db_url = \"\"\n"+
		"[container]\nenabled = true\nauto_isolate = true\ndocker_socket = \"/nosuch.sock\"\npolicy_path = %q\nwebhook_url = %q\n",
		port+"a", pins, s.path("bundle"), s.path("policies.toml"), webhook(t, "127.0.0.1")))
	c := newCluster(s, "web-1")
	c.start()
	s.start()
	s.runLonePipeline("web-1")
	c.healthy()
	return s, c
}

// writeRootShells appends n lines, each of which is an alert, to the file of each pipeline; the first is of
// user number from.
func (s *instance) writeRootShells(from, n int) {
	s.t.Helper()
	var b strings.Builder
	for k := range n {
		b.WriteString(rootShell(fmt.Sprintf("user%d", from+k)))
	}
	s.append([]byte(b.String()))
	s.appendTo("web-1.log", b.String())
}

// Three servers keep the streams. The leader of the stream of alerts and the leader of the cluster are
// killed while a module of the daemon and one on another host raise alerts, and the guard acts on them:
// each alert and each action is stored once. With two of the three away the command says why.
func TestExternalClusterOverKills(t *testing.T) {
	t.Parallel()
	s, c := newClusterStage(t)
	status, _, _ := s.command("status")
	require.Contains(t, status, "set by sync_interval of the servers of the external bus")
	require.Regexp(t, `(?m)^log-pipeline +web-1 +healthy`, status)

	lines := 0
	write := func(n int) {
		s.writeRootShells(lines, n)
		lines += n
	}
	for _, leader := range []func() *natsServer{c.streamLeader, c.metaLeader} {
		write(50)
		n := leader()
		require.NotNil(t, n)
		c.kill(n)
		write(50)
		s.eventually(func() bool { return c.streamLeader() != nil && c.streamLeader() != n })
		write(50)
		c.start(n)
		c.healthy()
	}
	s.requireOnce(2*lines, lines, waitLimit)

	c.kill(c.servers[:2]...)
	noLeader := regexp.MustCompile(`stream ` + string(bus.Alerts) + `\b.* ha(s|ve) no leader`)
	s.eventually(func() bool {
		out, _, code := s.command("status")
		return code == 6 && noLeader.MatchString(out) && strings.Contains(out, bus.LogPipeline)
	})
	_, stderr, code := s.command("blocklist", "add", "203.0.113.7")
	require.Equal(t, 6, code, stderr)
	require.Regexp(t, noLeader, stderr)
	write(50)
	c.start(c.servers[:2]...)
	c.healthy()
	s.requireOnce(2*lines, lines, waitLimit)
}

// runLonePipeline runs the log pipeline of host, which follows <host>.log, with its bundle.
func (s *instance) runLonePipeline(host string) *testenv.Buffer {
	s.t.Helper()
	joins, err := os.ReadFile(s.path(host + "/ironpost.toml"))
	require.NoError(s.t, err)
	s.write(host+".log", "")
	text := strings.ReplaceAll(string(joins), "/etc/ironpost/bus", s.path(host))
	text = strings.Replace(text, "[general]", fmt.Sprintf("[general]\ndata_dir = %q\npid_file = %q", s.path(host+"-data"), s.path("run/"+host+".pid")), 1)
	s.write(host+".toml", text+fmt.Sprintf("[metrics]\nenabled = false\n[log_pipeline]\nsources = [\"file\"]\nwatch_paths = [%q]\n", s.path(host+".log")))
	log := s.run(filepath.Join(s.bin, "ironpost-log-pipeline"), "-c", s.path(host+".toml"))
	s.eventually(func() bool { return strings.Contains(log.String(), `"ready"`) })
	return log
}

// appendTo appends text to a file of s.
func (s *instance) appendTo(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(s.t, err)
	_, err = f.WriteString(text)
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
}

// readPace spares the machine: each check reads the whole stream.
const readPace = 3 * time.Second

// read runs a command that reads from the bus, again while a cluster elects a leader.
func (s *instance) read(args ...string) (stdout string) {
	s.t.Helper()
	s.eventually(func() bool {
		out, _, code := s.command(args...)
		stdout = out
		return code == 0
	})
	return stdout
}

// requireOnce waits for the alerts and the actions, and requires each once. The guard answers the alerts
// of its own host.
func (s *instance) requireOnce(alerts, actions int, within time.Duration) {
	s.t.Helper()
	began := time.Now()
	assert.Eventually(s.t, func() bool { return len(s.firsts()) >= alerts }, within, readPace)
	assert.Eventually(s.t, func() bool { return len(s.actionsByAlert()) >= actions }, within, readPace)
	users := map[string]int{}
	for _, a := range s.firsts() {
		users[a.Host+" "+a.User]++
	}
	require.Equal(s.t, alerts, len(users), "alerts")
	for who, n := range users {
		require.Equal(s.t, 1, n, who)
	}
	answered := s.actionsByAlert()
	require.Equal(s.t, actions, len(answered), "actions")
	for alert, n := range answered {
		require.Equal(s.t, 1, n, alert)
	}
	s.t.Logf("%d alerts and %d actions, each once (bar: 0 lost, 0 doubled); complete after %.1f s", alerts, actions, time.Since(began).Seconds())
}

// storedAlert is a part of an alert.
type storedAlert struct {
	ID, Host, User string
	Update         bool
}

// firsts returns the alerts that are no updates.
func (s *instance) firsts() []storedAlert {
	s.t.Helper()
	var all []storedAlert
	for line := range strings.Lines(s.read("alerts", "--json", "--limit", "0")) {
		var a storedAlert
		require.NoError(s.t, json.Unmarshal([]byte(line), &a))
		if !a.Update {
			all = append(all, a)
		}
	}
	return all
}

// webhook returns the URL of a webhook at address: it makes an action of every alert.
func webhook(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	require.NoError(t, server.Listener.Close())
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// actionsByAlert counts the actions of each alert that were begun.
func (s *instance) actionsByAlert() map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for line := range strings.Lines(s.read("actions", "--json", "--limit", "0")) {
		var a struct {
			AlertID string `json:"alert_id"`
			Phase   string
		}
		require.NoError(s.t, json.Unmarshal([]byte(line), &a))
		if a.Phase == "intended" {
			out[a.AlertID]++
		}
	}
	return out
}
