package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// edgeLab is a hub, its edges and a host for lone modules, each in a network namespace of its own with one link, wan, to a
// router. Nothing is started by it but what start is called for.
type edgeLab struct {
	*lab
	id      string
	hub     *instance
	edges   []*instance
	members []string // host names: hub, edges, modules
}

// modulesHost is the host without a daemon; intruder is a further address of it.
const (
	modulesHost = "modules-1"
	intruder    = "10.92.99.66"
)

func edgeName(n int) string { return fmt.Sprintf("branch-%d", n+1) }

// labAddress is the address of a member: the hub is number 0, the edges follow.
func labAddress(n int) string { return fmt.Sprintf("10.92.%d.2", n) }

const hubPort = "4443"

// newEdgeLab makes the namespaces, and the configurations of a hub and of edges as docs/topologies.md says. None is started.
func newEdgeLab(t *testing.T, edges int) *edgeLab {
	t.Helper()
	testenv.Require(t, "netns", rootOnly())
	id := fmt.Sprintf("ip%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	l := &edgeLab{lab: &lab{t: t, router: id + "-router"}, id: id}
	l.namespace(l.router)
	l.sysctl(l.router, "net/ipv4/ip_forward", "1")
	l.hub = l.daemon("hub-1")
	l.hub.listenOn(labAddress(0) + ":" + hubPort)
	for n := range edges {
		l.edges = append(l.edges, l.edge(edgeName(n)))
	}
	l.join(modulesHost)
	l.run(l.ns(modulesHost), "ip addr add "+intruder+"/32 dev lo")
	l.run(l.router, fmt.Sprintf("ip route add %s/32 via %s", intruder, labAddress(len(l.members)-1)))
	return l
}

func (l *edgeLab) ns(name string) string { return l.id + "-" + name }

func (l *edgeLab) namespace(ns string) {
	l.t.Helper()
	testenv.Require(l.t, "netns", command("ip", "netns", "add", ns))
	l.t.Cleanup(func() { require.NoError(l.t, command("ip", "netns", "del", ns)) })
	l.run(ns, "ip link set lo up")
}

// join connects a new namespace to the router.
func (l *edgeLab) join(name string) {
	l.t.Helper()
	n, ns := len(l.members), l.ns(name)
	l.members = append(l.members, name)
	l.namespace(ns)
	l.veth(ns, "wan", l.router, l.link(name))
	l.run(l.router, fmt.Sprintf("ip addr add 10.92.%d.1/24 dev %s", n, l.link(name)))
	l.run(ns, fmt.Sprintf("ip addr add %s/24 dev wan", labAddress(n)), fmt.Sprintf("ip route add default via 10.92.%d.1", n))
}

// link is the router's end of a member's link.
func (l *edgeLab) link(name string) string { return "to-" + name }

// daemon returns a daemon on a new host.
func (l *edgeLab) daemon(name string) *instance {
	l.t.Helper()
	l.join(name)
	s := newInstance(l.t)
	s.wrap = inNamespace(l.ns(name))
	s.replace(`host = "stage"`, fmt.Sprintf("host = %q", name))
	return s
}

// edge returns the daemon of an edge, configured with the example of the documentation and the bundle of the hub.
func (l *edgeLab) edge(name string) *instance {
	l.t.Helper()
	s := l.daemon(name)
	l.hub.ironpost("bus", "add-host", name, "--edge", "--out", s.path("hub"))
	example := documentedEdge(l.t)
	for _, r := range [][2]string{
		{"hub.example.org", labAddress(0)},
		{"/etc/ironpost/bus", s.path("hub")},
		{"branch-1", name},
		{"[general]", fmt.Sprintf("[general]\ndata_dir = %q\npid_file = %q", s.path("data"), s.path("pid"))},
		{"[bus]", fmt.Sprintf("[bus]\nsocket = %q\nobserver_listen = %q", s.path("bus.sock"), s.observer)},
	} {
		require.Contains(l.t, example, r[0])
		example = strings.Replace(example, r[0], r[1], 1)
	}
	s.write("ironpost.toml", example+fmt.Sprintf("[metrics]\nlisten = %q\n[log_pipeline]\nsources = [\"syslog\", \"file\"]\nwatch_paths = [%q]\nsyslog_bind = %q\nsyslog_tcp_bind = %q\n",
		s.metrics, s.path("auth.log"), s.syslog, s.syslog))
	return s
}

// documentedEdge returns the configuration of an edge in docs/topologies.md.
func documentedEdge(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/topologies.md")
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)<!-- file: edge.toml -->\n```toml\n(.*?)```").FindSubmatch(page)
	require.Len(t, example, 2)
	return string(example[1])
}

// startAll starts the hub and the edges and waits until the hub sees all of them.
func (l *edgeLab) startAll() {
	l.t.Helper()
	l.hub.start()
	for _, s := range l.edges {
		s.start()
	}
	for n, s := range l.edges {
		s.eventually(func() bool { return s.counter(bus.Forwarder, "hub_connected") == 1 })
		l.hub.eventually(func() bool { return l.hub.moduleOn(bus.Forwarder, edgeName(n)).Enabled })
	}
}

// cut cuts the link of a member, without either end noticing anything but silence; heal mends it and returns when.
func (l *edgeLab) cut(name string) { l.run(l.router, "ip link set "+l.link(name)+" down") }

func (l *edgeLab) heal(name string) time.Time {
	began := time.Now()
	l.run(l.router, "ip link set "+l.link(name)+" up")
	return began
}

// moduleOn returns the health of a module on host, as this daemon's status shows it; empty if it does not.
func (s *instance) moduleOn(name, host string) event.ModuleHealth {
	s.t.Helper()
	modules := s.modules()
	i := slices.IndexFunc(modules, func(m event.ModuleHealth) bool { return m.Name == name && m.Host == host })
	if i < 0 {
		return event.ModuleHealth{}
	}
	return modules[i]
}

// operator returns a new connection to the daemon's bus through its socket.
func (s *instance) operator() *bus.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	conn, err := bus.DialSocket(ctx, s.path("bus.sock"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(s.t.Context())) })
	return conn
}

// historyLimit is how long reading hundreds of thousands of alerts may take while other tests run.
const historyLimit = 10 * time.Minute

// storedIDs returns how often each alert of host is in the stream, and the ids in their order.
func storedIDs(t *testing.T, conn *bus.Conn, host string) (counts map[string]int, order []string) {
	t.Helper()
	counts = map[string]int{}
	ctx, cancel := context.WithTimeout(context.Background(), historyLimit)
	defer cancel()
	require.NoError(t, conn.History(ctx, bus.Alerts, bus.HistoryOptions{Filter: bus.AlertSubject("*", host)}, func(d bus.Delivery) bool {
		counts[d.ID]++
		order = append(order, d.ID)
		return true
	}))
	return counts, order
}

// forwardState returns how many alerts the bus of an edge holds, and how many of them its forwarder has not sent.
func forwardState(t *testing.T, conn *bus.Conn, host string) (stored, unsent int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	states, err := conn.StreamStates(ctx, bus.Durables(host, map[string]bool{bus.Forwarder: true}, bus.InFlight{}))
	require.NoError(t, err)
	for _, s := range states {
		if s.Name == bus.Alerts {
			stored = int(s.Messages)
			for _, d := range s.Durables {
				unsent += int(d.Pending) + d.AckPending
			}
		}
	}
	return stored, unsent
}

// requireSame waits until an edge has at least so many alerts and has sent them, and compares them with what the hub has of it:
// nothing lost, nothing doubled, in the same order.
func (l *edgeLab) requireSame(n, least int, patience time.Duration) {
	l.t.Helper()
	edge := l.edges[n].operator()
	require.Eventually(l.t, func() bool {
		stored, unsent := forwardState(l.t, edge, edgeName(n))
		return stored >= least && unsent == 0
	}, patience, 100*time.Millisecond, "%d alerts of %s are not stored, or not all are sent", least, edgeName(n))
	_, own := storedIDs(l.t, edge, edgeName(n))
	counts, there := storedIDs(l.t, l.hub.operator(), edgeName(n))
	lost, doubled := 0, 0
	for _, id := range own {
		if counts[id] == 0 {
			lost++
		}
	}
	for _, n := range counts {
		if n > 1 {
			doubled++
		}
	}
	l.t.Logf("%s: %d alerts, on the hub %d: lost %d (bar 0), doubled %d (bar 0), same order %v", edgeName(n), len(own), len(there), lost, doubled, slices.Equal(own, there))
	require.Zero(l.t, lost)
	require.Zero(l.t, doubled)
	require.Equal(l.t, own, there)
}

// startModule starts the program of a lone module on modulesHost, with a log of its own, and returns the path of that log.
func (l *edgeLab) startLogPipeline() string {
	l.t.Helper()
	s := l.hub
	s.ironpost("bus", "add-host", modulesHost, "--module", bus.LogPipeline, "--out", s.path("modules"))
	joins, err := os.ReadFile(s.path("modules/ironpost.toml"))
	require.NoError(l.t, err)
	text := strings.ReplaceAll(string(joins), "/etc/ironpost/bus", s.path("modules"))
	text = strings.Replace(text, "[general]", fmt.Sprintf("[general]\ndata_dir = %q\npid_file = %q", s.path("modules-data"), s.path("run/modules.pid")), 1)
	s.write("modules.log", "")
	s.write("modules.toml", text+fmt.Sprintf("[log_pipeline]\nsources = [\"file\"]\nwatch_paths = [%q]\n", s.path("modules.log")))
	s.run(inNamespace(l.ns(modulesHost), filepath.Join(s.bin, "ironpost-log-pipeline"), "-c", s.path("modules.toml"))...)
	return s.path("modules.log")
}
