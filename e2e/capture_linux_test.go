package e2e_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// capture holds the packets of a link.
type capture struct {
	t   *testing.T
	b   bytes.Buffer // of read, until done is closed
	end func()       // stops read and waits for it
}

// capture records every packet on the link of a member from now on.
func (l *edgeLab) capture(name string) *capture {
	l.t.Helper()
	const all = 0x0300 // ETH_P_ALL in network order
	c, fd := &capture{t: l.t}, -1
	var err error
	l.enter(l.router, func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all) })
	require.NoError(l.t, err)
	require.NoError(l.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	require.NoError(l.t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c.read(fd, stop)
	}()
	c.end = sync.OnceFunc(func() {
		close(stop)
		<-done
		require.NoError(l.t, unix.Close(fd))
	})
	l.t.Cleanup(c.end)
	return c
}

// read reads until stop is closed and the buffer of the socket is empty.
func (c *capture) read(fd int, stop <-chan struct{}) {
	b, flags := make([]byte, 128<<10), 0
	for {
		select {
		case <-stop:
			flags = unix.MSG_DONTWAIT
		default:
		}
		n, _, err := unix.Recvfrom(fd, b, flags)
		switch {
		case err == nil:
			c.b.Write(b[:n])
		case flags != 0:
			return
		} // else nothing within the time
	}
}

// requireNoClearText ends the capture and looks for texts in it. It must have something.
func (c *capture) requireNoClearText(texts []string) {
	c.t.Helper()
	c.end()
	captured := c.b.Bytes()
	c.t.Logf("%d bytes captured", len(captured))
	require.Greater(c.t, len(captured), 10_000)
	for _, text := range texts {
		require.False(c.t, bytes.Contains(captured, []byte(text)), "the link shows %q", text)
	}
}
