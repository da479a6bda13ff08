package embedded

import (
	"context"
	"net"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// spliceBuffer is one direction's buffer; with 64 connections the two listeners
	// hold 8 MiB at most.
	spliceBuffer = 32 << 10
	// spliceStall is how long a client may leave a write waiting. The server drops
	// a client that does not read after writeDeadline; the proxy's side must not keep its
	// slot for much longer.
	spliceStall = 2 * writeDeadline
)

// splice copies between a client and the server, both ways, until either side ends,
// then closes both. It returns an error for a panic alone.
//
// When the client's side ends, only the server's is closed: what the server still
// sends, such as why it disconnects, reaches the client first.
func splice(ctx context.Context, client, inside net.Conn) error {
	both := task.New(ctx)
	both.Go("client to bus server", func(context.Context) error {
		defer func() { _ = inside.Close() }()
		forward(inside, client)
		return nil
	})
	both.Go("bus server to client", func(context.Context) error {
		defer func() { _ = client.Close() }()
		defer func() { _ = inside.Close() }()
		forward(client, inside)
		return nil
	})
	return both.Wait()
}

// forward copies from src to dst until either ends.
func forward(dst, src net.Conn) {
	buf := make([]byte, spliceBuffer)
	for {
		n, err := src.Read(buf)
		if n > 0 && writeWithin(dst, buf[:n], spliceStall) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// writeWithin writes all of b, or fails when the peer takes longer than d.
func writeWithin(c net.Conn, b []byte, d time.Duration) error {
	if err := c.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}
