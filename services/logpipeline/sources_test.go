package logpipeline_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// freeAddr returns a loopback address that is free for TCP and, very likely, for UDP.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// dial connects as soon as there is a listener.
func dial(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	var conn net.Conn
	require.Eventually(t, func() bool {
		var err error
		conn, err = net.Dial(network, addr)
		return err == nil
	}, patience, tick)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// startOverTCP runs a new service with syslog over TCP as its only source, and connects to it.
func (r *rig) startOverTCP() (*running, net.Conn) {
	r.t.Helper()
	r.cfg.Sources = []string{logpipeline.SourceSyslogTCP}
	r.cfg.SyslogTCPBind = freeAddr(r.t)
	s := r.start()
	return s, dial(r.t, "tcp", r.cfg.SyslogTCPBind)
}

func sendAll(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
}

func listening(network, addr string) bool {
	if network == "udp" {
		l, err := net.ListenPacket("udp", addr)
		if err == nil {
			_ = l.Close()
		}
		return err != nil
	}
	conn, err := net.Dial(network, addr)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

func TestFileUDPAndTCPGiveTheSameAlerts(t *testing.T) {
	t.Parallel()
	lines := []string{failed("bob", "192.0.2.1"), failed("eve", "192.0.2.1"), canary("a"), failed("bob", "2001:db8::1"), "noise\n"}
	for range 6 {
		lines = append(lines, attempt("192.0.2.7"))
	}
	file := newRig(t)
	s := file.start()
	file.write(strings.Join(lines, ""))
	s.waitLines(uint64(len(lines)))
	want := shapes(t, file.wait(4))
	require.Len(t, want, 4)

	for _, network := range []string{"udp", "tcp"} {
		r := newRig(t)
		r.cfg.Sources = []string{"syslog_" + network}
		r.cfg.SyslogBind = freeAddr(t)
		r.cfg.SyslogTCPBind = r.cfg.SyslogBind
		s := r.start()
		require.Eventually(t, func() bool { return listening(network, r.cfg.SyslogBind) }, patience, tick)
		conn := dial(t, network, r.cfg.SyslogBind)
		for _, line := range lines {
			sendAll(t, conn, line)
		}
		s.waitLines(uint64(len(lines)))
		require.Equal(t, want, shapes(t, r.wait(4)), network)
	}
}

// A port that is in use degrades the module; the other sources are read.
func TestPortInUseDegrades(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	r := newRig(t)
	r.cfg.Sources = []string{logpipeline.SourceSyslogTCP, logpipeline.SourceFile}
	r.cfg.SyslogTCPBind = taken.Addr().String()
	s := r.start()
	require.Eventually(t, func() bool { return s.Health().Status == event.Degraded }, patience, tick)
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), taken.Addr().String())
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
}

// Lines in the spool are processed before the service ends, or after it starts again.
func TestReceivedLinesSurviveAStop(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, conn := r.startOverTCP()
	const lines = 500
	for i := range lines {
		sendAll(t, conn, failed("u", address(i)))
	}
	require.Eventually(t, func() bool { return s.count("tcp_received") == lines }, patience, tick)
	s.stop()
	r.start()
	alerts := r.wait(lines)
	requireOnce(t, alerts)
	require.Len(t, alerts, lines)
}

// A message sent after Started is received.
func TestPortsAreBoundWhenTheServiceHasStarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Sources = []string{logpipeline.SourceSyslog}
	r.cfg.SyslogBind, r.cfg.SyslogTCPBind = freeAddr(t), freeAddr(t)
	s := r.build()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Started()
	for network, addr := range map[string]string{"udp": r.cfg.SyslogBind, "tcp": r.cfg.SyslogTCPBind} {
		conn, err := net.Dial(network, addr)
		require.NoError(t, err)
		sendAll(t, conn, failed(network, "192.0.2.1"))
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return s.Health().Counters["lines"] == 2 }, patience, tick)
	cancel()
	require.NoError(t, <-done)
}
