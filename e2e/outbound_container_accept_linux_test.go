//go:build accept && linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// attackerProgram is the static program of a container that attacks others.
const attackerProgram = `package main

import (
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	target, until := os.Args[2], time.Now().Add(15*time.Second)
	if os.Args[1] == "scan" {
		for port := range 120 {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(target, strconv.Itoa(port+1)), 200*time.Millisecond)
			if err == nil {
				c.Close()
			}
		}
		return
	}
	var g sync.WaitGroup
	for range 2 {
		g.Go(func() {
			c, err := net.Dial("udp", net.JoinHostPort(target, "27015"))
			if err != nil {
				panic(err)
			}
			for b := make([]byte, 64); time.Now().Before(until); {
				c.Write(b)
			}
		})
	}
	g.Wait()
}
`

// A container scans and floods other hosts, which answer nothing. The packets leave with the host's address; the alerts name the container's, and the guard
// isolates the container for both together.
func TestOutboundAttacksByContainer(t *testing.T) {
	const host, world, scanned, flooded = "10.94.1.2", "10.94.1.1", "203.0.113.9", "203.0.113.10"
	engine := testenv.Dockerd(t)
	l := &lab{t: t, router: fmt.Sprintf("ipw%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)}
	require.NoError(t, command("ip", "netns", "add", l.router))
	t.Cleanup(func() { require.NoError(t, command("ip", "netns", "del", l.router)) })
	own := []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", engine.PID())}
	inside := func(lines ...string) {
		for _, line := range lines {
			require.NoError(t, command(append(own[:len(own):len(own)], strings.Fields(line)...)...))
		}
	}
	require.NoError(t, command("ip", "link", "add", "wan", "netns", fmt.Sprint(engine.PID()), "type", "veth", "peer", "name", "right", "netns", l.router))
	inside("ip link set wan up", "ip addr add "+host+"/24 dev wan", "ip route add default via "+world)
	l.run(l.router, "ip link set lo up", "ip link set right up", "ip addr add "+world+"/24 dev right")

	s := newInstance(t)
	s.wrap = own
	policies, err := filepath.Abs("../deploy/policies")
	require.NoError(t, err)
	s.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n[ebpf.detect]\nudp_flood_pps = 300\n", engine.Socket, policies))
	s.start()
	program := buildProgram(t, "attacker", attackerProgram)
	bind := []string{filepath.Dir(program) + ":/attack:ro"}
	run := func(name, attack, target string) (id, address string) {
		id = engine.Run(t, testenv.ContainerOptions{Name: name, Binds: bind, Cmd: []string{"/bin/sh", "-c", "sleep 3; /attack/attacker " + attack + " " + target + "; sleep 600"}})
		client, err := docker.Connect(engine.Socket)
		require.NoError(t, err)
		defer client.Close()
		c, _, err := client.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, c.Networks, 1)
		for _, n := range c.Networks {
			address = n.IPv4.String()
		}
		return id, address
	}
	engine.Run(t, testenv.ContainerOptions{Name: "idle"})
	_, scanner := run("scanner", "scan", scanned)
	a := s.waitForAlert("Outbound Scan", scanner, scanned)
	require.Contains(t, strings.Join(a.Evidence, "\n"), "by "+scanner+" (behind NAT, as "+host+")", "%+v", a)

	_, flooder := run("flooder", "flood", flooded)
	a = s.waitForAlert("Outbound Flood", flooder, flooded)
	require.Contains(t, strings.Join(a.Evidence, "\n"), "udp_flood by "+flooder+" (behind NAT, as "+host+")", "%+v", a)
	require.False(t, strings.Contains(s.ironpost("quarantine", "list"), "held"), "one sign each")
	require.EqualValues(t, 3, s.counter(bus.ContainerGuard, "containers"))

	both := "/attack/attacker scan 203.0.113.11; /attack/attacker flood 203.0.113.12"
	engine.Run(t, testenv.ContainerOptions{Name: "taken", Binds: bind, Cmd: []string{"/bin/sh", "-c", "sleep 3; " + both + "; sleep 600"}})
	s.eventually(func() bool { return strings.Contains(s.ironpost("quarantine", "list"), "taken") })
	list := s.ironpost("quarantine", "list")
	for _, other := range []string{"idle", "scanner", "flooder"} {
		require.NotContains(t, list, other)
	}
}
