package conntrack_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/internal/conntrack"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.RunInOwnNetwork(m)) }

const (
	protoICMP, protoUDP = 1, 17

	inside, other, outside = "127.0.0.1", "127.0.0.2", "127.0.0.9"
)

// send sends a datagram from an address, and returns its port.
func send(t *testing.T, from string, target netip.AddrPort) uint16 {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(target))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func run(t *testing.T, command string, args ...string) {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// The kernel tells who is behind its address translation, by the addresses of a packet that left.
func TestSourceBehindNAT(t *testing.T) {
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	_, err := exec.LookPath("iptables")
	testenv.Require(t, "iptables", err)
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "lo", "-s", "127.0.0.0/30", "-j", "SNAT", "--to-source", outside)
	target := netip.MustParseAddrPort("127.0.0.53:5300")
	seen := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(outside), port) }

	var ask conntrack.Asker
	got, err := ask.Source(protoUDP, seen(send(t, inside, target)), target)
	require.NoError(t, err)
	require.Equal(t, inside, got.String())
	got, err = ask.Source(protoUDP, seen(send(t, other, target)), target)
	require.NoError(t, err)
	require.Equal(t, other, got.String(), "the connection is told apart by its port")
	_, err = ask.Source(protoUDP, seen(1), target)
	require.ErrorIs(t, err, conntrack.ErrUnknown)

	// ICMP has no ports: the connections of the protocol are compared.
	anyPort := netip.AddrPortFrom(target.Addr(), 0)
	run(t, "ping", "-c", "1", "-I", inside, target.Addr().String())
	got, err = ask.Source(protoICMP, seen(0), anyPort)
	require.NoError(t, err)
	require.Equal(t, inside, got.String())
	run(t, "ping", "-c", "1", "-I", other, target.Addr().String())
	_, err = ask.Source(protoICMP, seen(0), anyPort)
	require.ErrorIs(t, err, conntrack.ErrBusy, "four questions are the most")
	_, err = new(conntrack.Asker).Source(protoICMP, seen(0), anyPort)
	require.ErrorIs(t, err, conntrack.ErrUnknown, "it was one of two")
}

// A TCP connection counts while it is open and after its end; a handshake that is not complete does not, nor a reset connection, as the
// sender of both may be forged.
func TestConnected(t *testing.T) {
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	_, err := exec.LookPath("iptables")
	testenv.Require(t, "iptables", err)
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "iptables", "-t", "nat", "-A", "PREROUTING", "-d", "127.0.0.99", "-j", "ACCEPT") // connection tracking begins
	l, err := net.Listen("tcp", "127.0.0.53:5353")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	dial := func(from string) (client, server *net.TCPConn) {
		c, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP(from)}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.53:5353")))
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		return c, s.(*net.TCPConn)
	}
	connected := func(from string) bool {
		seen, all := false, false
		remote, local := netip.MustParseAddr(from), netip.MustParseAddr("127.0.0.53")
		require.NoError(t, conntrack.Connected(remote, func(r, l netip.Addr) { seen = seen || r == remote && l == local }))
		require.NoError(t, conntrack.Connected(netip.Addr{}, func(r, l netip.Addr) { all = all || r == remote && l == local }))
		require.Equal(t, all, seen)
		return seen
	}
	client, server := dial("127.0.0.31")
	require.True(t, connected("127.0.0.31"))
	require.False(t, connected("127.0.0.32"))
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
	require.True(t, connected("127.0.0.31"), "it has ended")

	client, server = dial("127.0.0.33")
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
	require.False(t, connected("127.0.0.33"), "it was reset")

	_, err = net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP("127.0.0.34")}, &net.TCPAddr{IP: net.ParseIP("127.0.0.53"), Port: 1})
	require.Error(t, err)
	require.False(t, connected("127.0.0.34"), "it was refused")
}

// New connections are reported when they begin, and known to be complete, refused, or reset after that: whoever forges the first packet of one
// completes nothing.
func TestConnectionsThatBegin(t *testing.T) {
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	_, err := exec.LookPath("iptables")
	testenv.Require(t, "iptables", err)
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "iptables", "-t", "nat", "-A", "PREROUTING", "-d", "127.0.0.99", "-j", "ACCEPT") // connection tracking begins
	l, err := net.Listen("tcp", "127.0.0.54:5454")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	found, ended := make(chan conntrack.Connection, 64), make(chan error, 1)
	go func() { ended <- conntrack.Watch(ctx, func(c conntrack.Connection) { found <- c }, func() {}) }()

	target := netip.MustParseAddrPort("127.0.0.54:5454")
	var seen conntrack.Connection
	var client net.Conn
	require.Eventually(t, func() bool { // until the reports are subscribed to
		client, err = net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP("127.0.0.41")}, net.TCPAddrFromAddrPort(target))
		require.NoError(t, err)
		select {
		case seen = <-found:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}, 5*time.Second, time.Millisecond)
	require.Equal(t, conntrack.Connection{From: client.LocalAddr().(*net.TCPAddr).AddrPort(), To: target}, seen)
	complete, known, err := conntrack.Complete(seen)
	require.NoError(t, err)
	require.True(t, complete && known)
	all := false
	require.NoError(t, conntrack.All(func(c conntrack.Connection) { all = all || c == seen }))
	require.True(t, all)

	_, err = net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP("127.0.0.42")}, &net.TCPAddr{IP: net.ParseIP("127.0.0.54"), Port: 1})
	require.Error(t, err)
	for seen = range found {
		if seen.To.Port() == 1 {
			break
		}
	}
	complete, _, err = conntrack.Complete(seen)
	require.NoError(t, err)
	require.False(t, complete, "it was refused")
	_, known, err = conntrack.Complete(conntrack.Connection{From: netip.MustParseAddrPort("127.0.0.43:1"), To: target})
	require.NoError(t, err)
	require.False(t, known)
	cancel()
	require.NoError(t, <-ended)
}

// The kernel takes the sender of a packet in the middle of a connection for who began it, if it has forgotten the connection, as a peer can make it
// do by a reset that ends at this host. That is no attempt to connect, and proves none.
func TestConnectionsTrackedFromTheirMiddleOnDoNotCount(t *testing.T) {
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	_, err := exec.LookPath("iptables")
	testenv.Require(t, "iptables", err)
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "iptables", "-t", "nat", "-A", "PREROUTING", "-d", "127.0.0.99", "-j", "ACCEPT") // connection tracking begins
	l, err := net.Listen("tcp", "127.0.0.55:5555")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	found, ended := make(chan conntrack.Connection, 64), make(chan error, 1)
	go func() { ended <- conntrack.Watch(ctx, func(c conntrack.Connection) { found <- c }, func() {}) }()
	dial := func() (client, server *net.TCPConn) {
		c, err := net.DialTCP("tcp", &net.TCPAddr{IP: net.ParseIP("127.0.0.51")}, l.Addr().(*net.TCPAddr))
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		return c, s.(*net.TCPConn)
	}
	var client, server *net.TCPConn
	require.Eventually(t, func() bool { // until the reports are subscribed to
		client, server = dial()
		select {
		case <-found:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}, 5*time.Second, time.Millisecond)

	require.NoError(t, netlink.ConntrackTableFlush(netlink.ConntrackTable))
	reversed := conntrack.Connection{From: server.LocalAddr().(*net.TCPAddr).AddrPort(), To: client.LocalAddr().(*net.TCPAddr).AddrPort()}
	require.Eventually(t, func() bool { // the kernel takes the server for who began it
		_, err := server.Write([]byte("x"))
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 1))
		require.NoError(t, err)
		tracked := false
		require.NoError(t, conntrack.Connected(reversed.From.Addr(), func(_, local netip.Addr) { tracked = tracked || local == reversed.To.Addr() }))
		return tracked
	}, 5*time.Second, time.Millisecond)
	complete, known, err := conntrack.Complete(reversed)
	require.NoError(t, err)
	require.False(t, complete || known)
	require.NoError(t, conntrack.All(func(c conntrack.Connection) { require.NotEqual(t, reversed, c) }))
	next, _ := dial()
	require.Equal(t, next.LocalAddr().(*net.TCPAddr).AddrPort(), (<-found).From, "that connection is reported next")
	cancel()
	require.NoError(t, <-ended)
}
