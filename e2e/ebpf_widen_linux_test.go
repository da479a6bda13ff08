package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// Scanners of one IPv6 /64 that completed handshakes are blocked with their network, unless another address of it is connected.
func TestBlockOfAnIPv6Network(t *testing.T) {
	const network = "fd90:1::/64"
	l := newLab(t)
	s := newInstance(t)
	s.wrap = inNamespace(l.victim)
	s.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\nblock_private = true\npolicy_path = %q\ndocker_socket = %q\n",
		s.path("policies"), s.path("no.sock")))
	s.write("policies/scans.toml", "[[policy]]\nid = \"scans\"\nactions = [\"block-source\"]\nmatch.rules = [\"f3ca1a0d-10be-58eb-914b-2ec1d64e3190\"]\n")
	s.start()
	l.listen(victim6, 22)
	customer := l.hold(source6(20), victim6, 443)

	check := func() string { return s.ironpostAnyway("blocklist", "check", source6(9)) }
	actionOf := func(phase event.Phase) (found event.Action) {
		s.eventually(func() bool {
			for _, a := range s.actions() {
				if a.Target == "network:"+network && a.Phase == phase {
					found = a
					return true
				}
			}
			return false
		})
		return found
	}
	scan := func(n int) {
		l.connect(source6(n), []string{"[" + victim6 + "]:22"}, 1, 0)
		l.attack("nmap", "-6", "-sS", "-n", "-Pn", "--max-retries", "0", "-e", "wan", "-S", source6(n), "-p", "100-150", victim6)
		s.waitForAlert("Port Scan", source6(n), victim6)
	}
	for n := range 3 {
		scan(n)
	}
	require.Contains(t, actionOf(event.Skipped).Reason, "an established connection with "+source6(20))
	require.Contains(t, check(), source6(9)+" is not blocked")

	require.NoError(t, customer.Close())
	scan(3)
	s.eventually(func() bool { return strings.Contains(check(), source6(9)+" is blocked") })
	require.Contains(t, check(), network)
	require.Contains(t, check(), "container-guard")

	done := actionOf(event.Done)
	require.Equal(t, "ironpost blocklist del "+network, done.Undo)
	s.ironpost(strings.Fields(done.Undo)[1:]...)
	s.eventually(func() bool { return strings.Contains(check(), source6(9)+" is not blocked") })
}

// hold connects from an address to the victim, and keeps the connection until the test ends or the client closes it.
func (l *lab) hold(source, target string, port int) (client net.Conn) {
	l.t.Helper()
	address := netip.AddrPortFrom(netip.MustParseAddr(target), uint16(port)).String()
	var server net.Listener
	var err error
	l.enter(l.victim, func() { server, err = net.Listen("tcp", address) })
	require.NoError(l.t, err)
	l.t.Cleanup(func() { _ = server.Close() })
	l.enter(l.attacker, func() {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		client, err = dialer.DialContext(l.t.Context(), "tcp", address)
	})
	require.NoError(l.t, err)
	accepted, err := server.Accept()
	require.NoError(l.t, err)
	l.t.Cleanup(func() { _, _ = client.Close(), accepted.Close() })
	return client
}
