//go:build accept && linux

package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// target is a host with the shipped policies, the packet engine and something that listens on port 22, whose log is auth.log.
type target struct {
	*instance
	lab  *lab
	list *bus.Blocklist
	sshd net.Listener
}

func newTarget(t *testing.T) *target {
	t.Helper()
	g := &target{instance: newInstance(t), lab: newLab(t)}
	policies, err := filepath.Abs("../deploy/policies")
	require.NoError(t, err)
	g.wrap = append([]string{"nice", "-n", strconv.Itoa(urgent)}, inNamespace(g.lab.victim)...)
	g.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\nblock_private = true\ndocker_socket = %q\npolicy_path = %q\n", g.path("no.sock"), policies))
	g.start()
	g.list = g.blocklist()
	return g
}

// listenSSH accepts connections to port 22 and holds them.
func (g *target) listenSSH(addr string) {
	g.t.Helper()
	var err error
	g.lab.enter(g.lab.victim, func() { g.sshd, err = net.Listen("tcp", net.JoinHostPort(addr, "22")) })
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = g.sshd.Close() })
	go func() {
		for {
			c, err := g.sshd.Accept()
			if err != nil {
				return
			}
			g.t.Cleanup(func() { _ = c.Close() })
		}
	}()
}

func (g *target) connectSSH(from, to string) {
	g.t.Helper()
	var err error
	var c net.Conn
	g.lab.enter(g.lab.attacker, func() {
		c, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", net.JoinHostPort(to, "22"))
	})
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = c.Close() })
}

// asNobody runs a command as an unprivileged user in the target's network.
func (g *target) asNobody(stdin string, args ...string) {
	g.t.Helper()
	args = append(inNamespace(g.lab.victim, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(g.t, err, "%s", out)
}

func (g *target) blocked(addr string) bool { return len(blocksOf(g.t, g.list, addr)) > 0 }

func (g *target) blocks() int {
	g.t.Helper()
	all, _, err := g.list.List(g.t.Context())
	require.NoError(g.t, err)
	return len(all)
}

// read waits until the pipeline has read lines more than before.
func (g *target) read(before, lines uint64) {
	g.t.Helper()
	g.eventually(func() bool { return g.counter(bus.LogPipeline, "lines") >= before+lines })
}

func (g *target) lines() uint64 { return g.counter(bus.LogPipeline, "lines") }

// untilBlocked waits until addr is blocked and returns how long after began.
func (g *target) untilBlocked(addr string, began time.Time) time.Duration {
	g.t.Helper()
	require.Eventually(g.t, func() bool { return g.blocked(addr) }, waitLimit, 2*time.Millisecond, "%s: %s", addr, g.log)
	return time.Since(began)
}

func guessBy(addr string) string {
	return fmt.Sprintf("%s web-1 sshd[4711]: Failed password for root from %s port 40022 ssh2\n", time.Now().Format(time.Stamp), addr)
}

// Nobody, an unprivileged user, claims that others guess passwords: over UDP, in 60,000 lines over TCP, and through the syslog daemon that writes
// the file of sshd. None of them is blocked. Who does guess is blocked at once.
func TestAcceptHostileSyslog(t *testing.T) {
	g := newTarget(t)
	g.listenSSH(victim4)
	forged := func(how string, lines int, send func(from func(n int) string)) {
		before := g.lines()
		began := time.Now()
		send(func(n int) string { return fmt.Sprintf("203.0.%d.%d", n/250, n%250+1) })
		g.read(before, uint64(lines))
		g.eventually(func() bool { return g.counter(bus.ContainerGuard, "alerts") >= g.counter(bus.LogPipeline, "alerts") })
		t.Logf("%d forged lines of nobody by %s, read after %v: %d addresses blocked (bar 0)", lines, how, time.Since(began).Round(10*time.Millisecond), g.blocks())
		require.Zero(t, g.blocks(), how)
	}
	host, port, err := net.SplitHostPort(g.syslog)
	require.NoError(t, err)
	forged("syslog over UDP", 50, func(from func(int) string) {
		var all strings.Builder
		for n := range 10 {
			all.WriteString(strings.Repeat(guessBy(from(n)), 5))
		}
		g.asNobody(all.String(), "bash", "-c", "while read -r line; do echo \"$line\" > /dev/udp/"+host+"/"+port+"; done")
	})
	forged("syslog over TCP", 60_000, func(from func(int) string) {
		var all strings.Builder
		for n := range 12_000 {
			all.WriteString(strings.Repeat(guessBy(from(n)), 5))
		}
		g.asNobody(all.String(), "bash", "-c", "cat > /dev/tcp/"+host+"/"+port)
	})
	socket := g.startRsyslog()
	forged("logger", 25, func(from func(int) string) {
		for n := range 5 {
			text := strings.Repeat("Failed password for root from "+from(n)+" port 4711 ssh2\n", 5)
			g.asNobody(text, "logger", "--socket", socket, "--tag", "sshd[4711]")
		}
	})
	g.connectSSH(source4(0), victim4)
	began := time.Now()
	g.append([]byte(strings.Repeat(guessBy(source4(0)), 5)))
	took := g.untilBlocked(source4(0), began)
	t.Logf("who guesses, beside them: blocked after %v (bar 1s)", took)
	require.LessOrEqual(t, took, time.Second)
	for _, a := range g.alerts() {
		require.Equal(t, event.TrustUnproven, a.Trust)
	}
}

// startRsyslog runs a syslog daemon that writes what local programs log to the file that the target reads, as on a Debian host. It returns the socket.
func (g *target) startRsyslog() (socket string) {
	g.t.Helper()
	program, err := exec.LookPath("rsyslogd")
	testenv.Require(g.t, "rsyslog", err)
	dir, err := os.MkdirTemp("", "ipr") // one that nobody may enter
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(g.t, os.Chmod(dir, 0o755))
	socket = filepath.Join(dir, "log")
	g.write("rsyslog.conf", fmt.Sprintf(`
$WorkDirectory %s
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0")
*.* action(type="omfile" file=%q template="RSYSLOG_TraditionalFileFormat")
`, dir, socket, g.path("auth.log")))
	cmd := exec.Command(program, "-n", "-f", g.path("rsyslog.conf"), "-i", filepath.Join(dir, "pid"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(g.t, cmd.Start())
	g.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(g.t, func() bool { _, err := os.Stat(socket); return err == nil }, waitLimit, 10*time.Millisecond, "%s", &out)
	return socket
}

// 100,000 addresses that nobody made up between the guesses of a real attacker, and an alert about the attacker that nobody raised before: the attacker is
// still blocked when the last guess comes.
func TestAcceptHostileGroups(t *testing.T) {
	g := newTarget(t)
	g.listenSSH(victim4)
	attacker := source4(1)
	spray := func(from, n int) {
		before := g.lines()
		c, err := g.dialSyslog()
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		var all strings.Builder
		for i := range n {
			all.WriteString(guessBy(fmt.Sprintf("100.%d.%d.%d", 64+(from+i)/62_500, (from+i)/250%250, (from+i)%250+1)))
		}
		_, err = c.Write([]byte(all.String()))
		require.NoError(t, err)
		g.read(before, uint64(n))
	}
	g.connectSSH(attacker, victim4)
	before := g.lines()
	g.append([]byte(strings.Repeat(guessBy(attacker), 2)))
	g.read(before, 2)
	for i := range 2 {
		spray(i*50_000, 50_000)
		g.append([]byte(guessBy(attacker)))
	}
	before = g.lines()
	began := time.Now()
	g.append([]byte(guessBy(attacker)))
	took := g.untilBlocked(attacker, began)
	evicted := g.counter(bus.LogPipeline, "correlation_evicted")
	t.Logf("100,000 sprayed addresses, %d groups evicted (bar ≥ 50,000): the attacker is blocked %v after the fifth guess (bar 1s), %d others (bar 0)", evicted, took, g.blocks()-1)
	require.Greater(t, evicted, uint64(50_000))
	require.LessOrEqual(t, took, time.Second)
	require.Equal(t, 1, g.blocks())
}

func (g *target) dialSyslog() (c net.Conn, err error) {
	g.lab.enter(g.lab.victim, func() { c, err = net.Dial("tcp", g.syslog) })
	return c, err
}

// Nobody raises the alert about an address before it attacks, so that the deduplication window is taken. When it does, it is blocked.
func TestAcceptHostileWindow(t *testing.T) {
	g := newTarget(t)
	g.listenSSH(victim4)
	attacker := source4(2)
	c, err := g.dialSyslog()
	require.NoError(t, err)
	_, err = c.Write([]byte(strings.Repeat(guessBy(attacker), 5)))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	g.eventually(func() bool { return g.counter(bus.ContainerGuard, "alerts") >= 1 })
	require.False(t, g.blocked(attacker))
	g.connectSSH(attacker, victim4)
	began := time.Now()
	g.append([]byte(strings.Repeat(guessBy(attacker), 5)))
	took := g.untilBlocked(attacker, began)
	t.Logf("window taken by a forged alert: blocked %v after the attack (bar 2s)", took)
	require.LessOrEqual(t, took, 2*time.Second)
}

// Nobody holds all TCP connections of the syslog port, some with half a line. A newcomer's line is an alert within a second.
func TestAcceptHostileConnections(t *testing.T) {
	g := newTarget(t)
	for n := range 400 {
		c, err := g.dialSyslog()
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		if n%2 == 0 {
			_, _ = c.Write([]byte("<34>half a line"))
		}
	}
	// A newcomer from another address of the host.
	var c net.Conn
	var err error
	_, port, _ := net.SplitHostPort(g.syslog)
	g.lab.enter(g.lab.victim, func() {
		c, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}).Dial("tcp", "127.0.0.1:"+port)
	})
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	began := time.Now()
	_, err = c.Write([]byte(rootShell("newcomer")))
	require.NoError(t, err)
	g.eventually(func() bool { return g.counter(bus.LogPipeline, "alerts") == 1 })
	took := g.alerts()[0].Time.Sub(began)
	closed := g.counter(bus.LogPipeline, "tcp_closed_peer_limit") + g.counter(bus.LogPipeline, "tcp_closed_limit")
	t.Logf("400 connections of one peer held, %d closed (bar ≥ 300): the newcomer's line is an alert after %v (bar 1s)", closed, took)
	require.GreaterOrEqual(t, closed, uint64(300))
	require.LessOrEqual(t, took, time.Second)
}

// One sender floods over UDP for ten seconds, as fast as it can. Of another's 200 lines none is lost.
func TestAcceptHostileFlood(t *testing.T) {
	const lines, bar = 200, 0
	g := newTarget(t)
	sender := func(from string) (c net.Conn) {
		var err error
		g.lab.enter(g.lab.victim, func() {
			c, err = (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}).Dial("udp", g.syslog)
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	flooder, quiet := sender("127.0.0.8"), sender("127.0.0.9")
	until := time.Now().Add(10 * time.Second)
	sent := make(chan int)
	go func() {
		n := 0
		for text := []byte("<34>noise of a sender that floods, a line as long as they usually are"); time.Now().Before(until); n++ {
			_, _ = flooder.Write(text)
		}
		sent <- n
	}()
	for n := range lines {
		_, err := quiet.Write([]byte(rootShell(fmt.Sprint("quiet", n))))
		require.NoError(t, err)
		time.Sleep(time.Until(until) / time.Duration(lines-n)) // spread over the flood
	}
	flood := <-sent
	time.Sleep(5 * time.Second) // for what still waits
	lost := lines - int(g.counter(bus.LogPipeline, "alerts"))
	t.Logf("%d datagrams of one sender in 10 s: %d of another's %d lines lost (bar %d); dropped: kernel %d, share %d, spool %d", flood, lost, lines, bar,
		g.counter(bus.LogPipeline, "syslog_dropped_kernel_buffer"), g.counter(bus.LogPipeline, "syslog_dropped_peer"), g.counter(bus.LogPipeline, "syslog_dropped_spool_full"))
	require.LessOrEqual(t, lost, bar)
}

// Guesses that are spread over one /64, one from each address, are one alert.
func TestAcceptHostileNetwork(t *testing.T) {
	g := newTarget(t)
	const network = "2001:db8:77:1"
	g.lab.run(g.lab.victim, "ip addr add 2001:db8:77:2::1/128 dev lo")
	g.lab.run(g.lab.attacker, "ip -6 route add 2001:db8:77:2::/64 via fd90:1::1")
	g.lab.run(g.lab.router, "ip -6 route add 2001:db8:77:2::/64 via "+victim6, "ip -6 route add "+network+"::/64 via "+attacker6)
	g.listenSSH("2001:db8:77:2::1")
	var last string
	var began time.Time
	for n := range 5 {
		last = fmt.Sprintf("%s:%x::%x", network, n+1, n+1)
		g.lab.run(g.lab.attacker, "ip addr add "+last+"/128 dev wan nodad")
		g.connectSSH(last, "2001:db8:77:2::1")
		began = time.Now()
		g.append([]byte(guessBy(last)))
	}
	took := g.untilBlocked(last, began)
	time.Sleep(time.Second) // a second alert would have come
	t.Logf("5 guesses, one from each of 5 addresses of a /64: %d alerts (bar 1), the last address blocked after %v (bar 1s)", len(g.alerts()), took)
	require.Len(t, g.alerts(), 1)
	require.LessOrEqual(t, took, time.Second)
}
