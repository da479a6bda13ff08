//go:build accept

package e2e_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// guesses are lines of sshd about wrong passwords from one address, as a syslog daemon writes them.
func guesses(from string) string {
	line := fmt.Sprintf("%s web-1 sshd[4711]: Failed password for root from %s port 40022 ssh2\n", time.Now().Format(time.Stamp), from)
	return strings.Repeat(line, 5)
}

// Any user can write the lines of sshd, to the file of a syslog daemon or over UDP: they block nobody. The shipped policies block whoever
// has a connection to sshd within 1 s, also after it has ended.
func TestAcceptGuardGuessing(t *testing.T) {
	const bar = time.Second
	l := newLab(t)
	s := newInstance(t)
	policies, err := filepath.Abs("../deploy/policies")
	require.NoError(t, err)
	s.wrap = inNamespace(l.victim)
	s.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\nblock_private = true\ndocker_socket = %q\npolicy_path = %q\n", s.path("no.sock"), policies))
	s.start()
	list := s.blocklist()
	blocked := func(addr string) (bus.Block, bool) {
		found := blocksOf(t, list, addr)
		if len(found) == 0 {
			return bus.Block{}, false
		}
		return found[0], true
	}

	const framed = "10.90.1.200" // it has no connection
	forge := exec.Command("bash", "-c", `for i in 1 2 3 4 5; do printf '%s' "$0" > "/dev/udp/${1/://}"; done`, strings.SplitAfter(guesses(framed), "\n")[0], s.syslog)
	forge.Args = append(inNamespace(l.victim, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), forge.Args...)
	forge.Path, err = exec.LookPath(forge.Args[0])
	require.NoError(t, err)
	out, err := forge.CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.append([]byte(guesses("10.90.1.201")))
	proposed := func(addr string) bool {
		for _, a := range s.actions() {
			if a.Target == "address:"+addr && a.DryRun && strings.Contains(a.Reason, "the kernel saw no connection from "+addr+" to sshd") {
				return true
			}
		}
		return false
	}
	s.eventually(func() bool { return proposed(framed) && proposed("10.90.1.201") })
	for _, addr := range []string{framed, "10.90.1.201"} {
		_, is := blocked(addr)
		require.False(t, is, addr)
	}

	var sshd net.Listener
	l.enter(l.victim, func() { sshd, err = net.Listen("tcp", victim4+":22") })
	require.NoError(t, err)
	defer func() { require.NoError(t, sshd.Close()) }()
	for n, ended := range []bool{false, true} {
		attacker := source4(n)
		var client net.Conn
		l.enter(l.attacker, func() {
			client, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}}).Dial("tcp", victim4+":22")
		})
		require.NoError(t, err)
		server, err := sshd.Accept()
		require.NoError(t, err)
		if ended {
			require.NoError(t, client.Close())
			_, _ = server.Read(make([]byte, 1))
			require.NoError(t, server.Close())
		}
		began := time.Now()
		s.append([]byte(guesses(attacker)))
		var b bus.Block
		require.Eventually(t, func() bool {
			var is bool
			b, is = blocked(attacker)
			return is
		}, waitLimit, 5*time.Millisecond, "%s", attacker)
		took := time.Since(began)
		t.Logf("fifth line appended → address blocked, connection ended %v: %v (bar %v), for %v (bar 10 min at most)", ended, took, bar, b.Expires.Sub(b.Created))
		require.LessOrEqual(t, took, bar)
		require.LessOrEqual(t, b.Expires.Sub(b.Created), 10*time.Minute)
		require.NotEmpty(t, b.Hosts, "it holds on this host only")
		if !ended {
			require.NoError(t, client.Close())
			require.NoError(t, server.Close())
		}
	}
	for _, a := range s.alerts() {
		require.Equal(t, event.TrustUnproven, a.Trust, "%v", a)
	}
	require.Zero(t, s.stop(syscall.SIGTERM))
}
