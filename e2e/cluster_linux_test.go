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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/testenv"
)

// natsCluster is an external bus as docs/topologies.md says: three servers, a proxy in front of each, and the keys that the
// command made for the daemon of s.
type natsCluster struct {
	*testenv.NATSCluster

	s       *instance
	proxies map[string]*exec.Cmd // by name of the server
	listen  map[string]string
}

// newCluster makes keys and configurations. The daemon of s runs all its modules on the cluster, and
// hosts have a bundle each, of the log pipeline.
func newCluster(s *instance, hosts ...string) *natsCluster {
	s.t.Helper()
	s.ironpost("bus", "init")
	require.NoError(s.t, os.Mkdir(s.path("nats"), 0o700))
	c := &natsCluster{s: s, proxies: map[string]*exec.Cmd{}, listen: map[string]string{}}
	c.NATSCluster = testenv.NewNATSCluster(s.t, "..", s.path("nats"), s.path("nats"))
	var urls []string
	for _, n := range c.Servers {
		c.listen[n.Name] = testenv.FreeAddr(s.t)
		urls = append(urls, "tls://"+c.listen[n.Name])
	}
	url := strings.Join(urls, ",")
	s.ironpost("bus", "add-host", testHostName, "--daemon", "--bus-url", url, "--out", s.path("bundle"))
	for _, host := range hosts {
		s.ironpost("bus", "add-host", host, "--module", bus.LogPipeline, "--bus-url", url, "--out", s.path(host))
	}
	s.write("nats/ironpost-account.conf", s.ironpost("bus", "account"))
	for _, name := range []string{"ca.pem", "server.pem", "server.key"} {
		text, err := os.ReadFile(s.path("data/pki/" + name))
		require.NoError(s.t, err)
		s.write("nats/"+name, string(text))
	}
	bundle, err := os.ReadFile(s.path("bundle/ironpost.toml"))
	require.NoError(s.t, err)
	_, section, _ := strings.Cut(strings.ReplaceAll(string(bundle), "/etc/ironpost/bus", s.path("bundle")), "[bus]\n")
	s.replace("[bus]\n", "[bus]\nreplicas = 3\n"+section)
	return c
}

// start starts servers and waits until there is a leader, and the proxies in front of them that do not run.
func (c *natsCluster) start(servers ...*testenv.NATSServer) {
	c.s.t.Helper()
	c.Start(servers...)
	c.startProxies()
}

func (c *natsCluster) startProxies() {
	c.s.t.Helper()
	for _, n := range c.Servers {
		if c.proxies[n.Name] != nil {
			continue
		}
		log := &testenv.Buffer{}
		cmd := exec.Command(filepath.Join(c.s.bin, "ironpost"), "bus", "proxy", "--listen", c.listen[n.Name], "--server", n.Clients, "--dir", c.s.path("nats"))
		cmd.Stderr = log
		require.NoError(c.s.t, cmd.Start())
		c.proxies[n.Name] = cmd
		c.s.t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if c.s.t.Failed() {
				c.s.t.Logf("proxy of %s:\n%s", n.Name, log)
			}
		})
		c.s.eventually(func() bool { return strings.Contains(log.String(), "checking and forwarding") })
	}
}

// killProxy ends the proxy of n with SIGKILL, as if it had crashed.
func (c *natsCluster) killProxy(n *testenv.NATSServer) {
	_ = c.proxies[n.Name].Process.Kill()
	_ = c.proxies[n.Name].Wait()
	c.proxies[n.Name] = nil
}

// streamLeader returns the leader of the stream of alerts, nil if it has none.
func (c *natsCluster) streamLeader() *testenv.NATSServer { return c.StreamLeader(string(bus.Alerts)) }

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

// Three servers keep the streams, each behind its proxy. The leader of the stream of alerts, the leader of the cluster and each proxy
// in turn are killed while a module of the daemon and one on another host raise alerts, and the guard acts on them:
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
	for _, leader := range []func() *testenv.NATSServer{c.streamLeader, c.MetaLeader} {
		write(50)
		n := leader()
		require.NotNil(t, n)
		c.Kill(n)
		write(50)
		s.eventually(func() bool { return c.streamLeader() != nil && c.streamLeader() != n })
		write(50)
		c.start(n)
		c.healthy()
	}
	for _, n := range c.Servers {
		c.killProxy(n)
		write(50)
		c.healthy() // by the proxies of the others
		c.startProxies()
	}
	s.requireOnce(2*lines, lines, waitLimit)

	c.Kill(c.Servers[:2]...)
	noLeader := regexp.MustCompile(`stream ` + string(bus.Alerts) + `\b.* ha(s|ve) no leader`)
	s.eventually(func() bool {
		out, _, code := s.command("status")
		out = strings.Join(strings.Fields(out), " ") // it wraps lines
		return code == 6 && noLeader.MatchString(out) && strings.Contains(out, bus.LogPipeline)
	})
	_, stderr, code := s.command("blocklist", "add", "203.0.113.7")
	require.Equal(t, 6, code, stderr)
	require.Regexp(t, noLeader, stderr)
	write(50)
	c.start(c.Servers[:2]...)
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
	require.Len(s.t, users, alerts, "alerts")
	for who, n := range users {
		require.Equal(s.t, 1, n, who)
	}
	answered := s.actionsByAlert()
	require.Len(s.t, answered, actions, "actions")
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
