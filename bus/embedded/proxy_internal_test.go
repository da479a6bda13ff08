package embedded

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// A panic while one client is served closes its connection; others are served on.
func TestPanicEndsOneClientAlone(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var accepted atomic.Int64
	echo := func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = io.WriteString(theirs, "INFO {}\r\n")
			_, _ = io.Copy(theirs, theirs)
		}()
		return ours, nil
	}
	log, hook := test.NewNullLogger()
	p := newProxy("test", l, handshake{
		accept: func(net.Conn) (session, error) {
			if accepted.Add(1) == 1 {
				panic("boom")
			}
			client, err := newQuota(time.Now).join("uid 1")
			return session{admit: admitObserver(client), end: client.end}, err
		},
		sendInfo: sendInfoInClear,
	}, localLimits, echo, log)
	p.serve()
	first, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, first.SetDeadline(time.Now().Add(time.Minute)))
	_, err = first.Read(make([]byte, 1))
	require.Error(t, err, "closed")
	require.Eventually(t, func() bool { return len(hook.AllEntries()) == 1 }, time.Minute, time.Millisecond)

	second, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, second.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(second, "CONNECT {}\r\nPING\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(second)
	for _, want := range []string{"INFO ", "CONNECT ", "PING"} {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, want)
	}
	require.NoError(t, p.close())
	_, err = in.ReadByte()
	require.True(t, err != nil && !errors.Is(err, net.ErrClosed), "closed by the proxy")
}
