package syslog

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// A datagram that the kernel had no room for is counted, also if none is received after it.
func TestEachDatagramIsReceivedOrCounted(t *testing.T) {
	t.Parallel()
	log, _ := test.NewNullLogger()
	s, err := New(Config{UDP: "127.0.0.1:0", Dir: filepath.Join(t.TempDir(), "spool")}, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Started()
	udp, _ := s.Addrs()
	conn, err := net.Dial("udp", udp.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })

	const sent = 1000
	datagram := []byte(strings.Repeat("x", 60_000))
	s.spool.mu.Lock() // as a slow disk would block the reader
	for range sent {
		_, err := conn.Write(datagram)
		require.NoError(t, err)
	}
	s.spool.mu.Unlock()
	require.Eventually(t, func() bool {
		st := s.Stats()
		return st.Received[UDP]+st.Dropped[DropKernel]+st.Dropped[DropPeer] == sent && st.Dropped[DropKernel]+st.Dropped[DropPeer] > 0
	}, 10*time.Second, 10*time.Millisecond)
	before := s.Stats().Dropped[DropKernel]
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, before, s.Stats().Dropped[DropKernel], "no drop is counted twice")
}
