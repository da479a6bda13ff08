package e2e_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// capture holds the packets of a link.
type capture struct {
	t  *testing.T
	mu sync.Mutex
	b  bytes.Buffer
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
	l.t.Cleanup(func() {
		close(stop)
		<-done
		require.NoError(l.t, unix.Close(fd))
	})
	return c
}

// read reads until stop is closed.
func (c *capture) read(fd int, stop <-chan struct{}) {
	b := make([]byte, 128<<10)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			continue // nothing within the time
		}
		c.mu.Lock()
		c.b.Write(b[:n])
		c.mu.Unlock()
	}
}

// requireNoClearText looks for texts in what was captured, which must be something.
func (c *capture) requireNoClearText(texts []string) {
	c.t.Helper()
	time.Sleep(200 * time.Millisecond) // what is in the buffer
	c.mu.Lock()
	defer c.mu.Unlock()
	captured := c.b.Bytes()
	c.t.Logf("%d bytes captured", len(captured))
	require.Greater(c.t, len(captured), 10_000)
	for _, text := range texts {
		require.False(c.t, bytes.Contains(captured, []byte(text)), "the link shows %q", text)
	}
}
