package embedded

import (
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// spliceBuffer is one direction's buffer; with 64 connections the two
	// listeners hold 8 MiB at most.
	spliceBuffer = 32 << 10
	// spliceStall is how long a peer may leave us waiting to write. The server
	// itself gives up on a stuck client after writeDeadline; the peer's side
	// must not hold its slot for longer than a little more.
	spliceStall = 2 * writeDeadline
)

// splice copies between a guest and the server, both ways, until either ends, then
// closes both and returns.
//
// When the guest's side ends, only the server's is closed: what the server still
// has to say, such as why it hangs up, reaches the guest first.
func splice(guest, inside net.Conn) {
	var both errgroup.Group
	both.Go(func() error {
		defer func() { _ = inside.Close() }()
		return forward(inside, guest)
	})
	both.Go(func() error {
		defer func() { _ = guest.Close() }()
		defer func() { _ = inside.Close() }()
		return forward(guest, inside)
	})
	_ = both.Wait() // how one side went is of no interest to the other
}

// forward copies from src to dst until either ends.
func forward(dst, src net.Conn) error {
	buf := make([]byte, spliceBuffer)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if werr := writeWithin(dst, buf[:n], spliceStall); werr != nil {
				return werr
			}
		}
		if err != nil {
			return err
		}
	}
}

// writeWithin writes all of b or gives up when the peer takes longer than d.
func writeWithin(c net.Conn, b []byte, d time.Duration) error {
	if err := c.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}
