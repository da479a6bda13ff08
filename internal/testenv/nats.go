package testenv

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// NATSServer is one server of a cluster: its addresses for clients, for the other servers and for its state, and its process.
type NATSServer struct {
	Name, Clients, Routes, Monitor string

	cmd *exec.Cmd
}

// NATSCluster is three servers of the version that go.mod names, configured as docs/topologies.md says.
type NATSCluster struct {
	Servers []*NATSServer

	t        testing.TB
	bin, dir string
}

// NewNATSCluster configures a cluster. Its servers keep what they store below dir, and read ironpost-account.conf there and the
// certificate of files: ca.pem, and server.pem and server.key for localhost. root is the path to the project. Call Start.
func NewNATSCluster(t testing.TB, root, dir, files string) *NATSCluster {
	t.Helper()
	c := &NATSCluster{t: t, bin: filepath.Join(t.TempDir(), "nats-server"), dir: dir}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.bin, "github.com/nats-io/nats-server/v2").CombinedOutput()
	require.NoError(t, err, "%s", out)
	page, err := os.ReadFile(filepath.Join(root, "docs/topologies.md"))
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)<!-- file: nats-server.conf -->\n```\n(.*?)```").FindSubmatch(page)
	require.Len(t, example, 2)
	for _, name := range []string{"nats-1", "nats-2", "nats-3"} {
		c.Servers = append(c.Servers, &NATSServer{Name: name, Clients: FreeAddr(t), Routes: FreeAddr(t), Monitor: FreeAddr(t)})
	}
	for _, n := range c.Servers {
		pairs := []string{
			"server_name: nats-1", "server_name: " + n.Name, "127.0.0.1:4222", n.Clients, "0.0.0.0:6222", n.Routes,
			"/var/lib/nats", filepath.Join(dir, n.Name), "/etc/nats", files,
		}
		for _, other := range c.Servers {
			_, port, err := net.SplitHostPort(other.Routes)
			require.NoError(t, err)
			pairs = append(pairs, other.Name+".example.org:6222", net.JoinHostPort("localhost", port))
		}
		text := strings.NewReplacer(pairs...).Replace(string(example[1]))
		require.NoError(t, os.WriteFile(c.configuration(n), []byte(text), 0o600))
	}
	return c
}

func (c *NATSCluster) configuration(n *NATSServer) string {
	return filepath.Join(c.dir, n.Name+".conf")
}

// Start starts servers, all if none is named, and waits until there is a leader.
func (c *NATSCluster) Start(servers ...*NATSServer) {
	c.t.Helper()
	if len(servers) == 0 {
		servers = c.Servers
	}
	for _, n := range servers {
		_, port, err := net.SplitHostPort(n.Monitor)
		require.NoError(c.t, err)
		log := &Buffer{}
		cmd := exec.Command(c.bin, "-c", c.configuration(n), "-m", port)
		cmd.Stderr = log
		require.NoError(c.t, cmd.Start())
		n.cmd = cmd
		c.t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if c.t.Failed() {
				c.t.Logf("%s:\n%s", n.Name, log)
			}
		})
	}
	const patience = 2 * time.Minute
	require.Eventually(c.t, func() bool { return c.MetaLeader() != nil }, patience, 50*time.Millisecond, "the cluster has no leader")
}

// Kill ends servers with SIGKILL.
func (c *NATSCluster) Kill(servers ...*NATSServer) {
	for _, n := range servers {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// natsState is a part of what a server says about JetStream.
type natsState struct {
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
func (c *NATSCluster) ask() natsState {
	var out natsState
	for _, n := range c.Servers {
		answer, err := http.Get("http://" + n.Monitor + "/jsz?streams=true")
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

func (c *NATSCluster) named(name string) *NATSServer {
	i := slices.IndexFunc(c.Servers, func(n *NATSServer) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return c.Servers[i]
}

// MetaLeader returns the leader of the cluster, nil if it has none.
func (c *NATSCluster) MetaLeader() *NATSServer {
	said := c.ask()
	if said.Meta.Size != len(c.Servers) {
		return nil
	}
	return c.named(said.Meta.Leader)
}

// StreamLeader returns the leader of a stream, nil if it has none.
func (c *NATSCluster) StreamLeader(stream string) *NATSServer {
	for _, account := range c.ask().Accounts {
		for _, s := range account.Streams {
			if s.Name == stream {
				return c.named(s.Cluster.Leader)
			}
		}
	}
	return nil
}
