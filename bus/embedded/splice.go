package embedded

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// spliceBuffer is one direction's buffer. It holds a line with its headers and its request.
	spliceBuffer = 32 << 10
	// spliceStall is how long a client may leave a write waiting. The server drops
	// a client that does not read after writeDeadline; the proxy's side must not keep its
	// slot for much longer.
	spliceStall = 2 * writeDeadline
	// connectTime bounds what a client takes to show its key.
	connectTime = 2 * time.Second
	// pagePause follows a request for many records, so that the server notices a client that does not read them before it
	// has asked for more.
	pagePause = 5 * time.Millisecond
)

// splice copies between a client and the server, both ways, until either side ends,
// then closes both. What the client sends is checked on its way: admit is asked with its
// CONNECT, and a protocolParser reads the rest. splice returns why the client was refused.
//
// When the client's side ends, only the server's is closed: what the server still
// sends, such as why it disconnects, reaches the client first, and then why it was refused.
func splice(ctx context.Context, client, inside net.Conn, admit func(line []byte) (connect []byte, r rights, err error)) error {
	var refused atomic.Pointer[protocolError]
	both := task.New(ctx)
	both.Go("client to bus server", func(context.Context) error {
		defer func() { _ = inside.Close() }()
		if why, ok := errors.AsType[*protocolError](forwardChecked(inside, client, admit)); ok {
			refused.Store(why)
		}
		return nil
	})
	both.Go("bus server to client", func(context.Context) error {
		defer func() { _ = client.Close() }()
		defer func() { _ = inside.Close() }()
		forward(client, inside)
		if why := refused.Load(); why != nil {
			_ = writeWithin(client, []byte("-ERR '"+why.Error()+"'"+lineEnd))
		}
		return nil
	})
	if err := both.Wait(); err != nil {
		return err
	}
	if why := refused.Load(); why != nil {
		return why
	}
	return nil
}

// protocolError is why a client is disconnected.
type protocolError struct{ error }

// Unwrap returns the reason.
func (e *protocolError) Unwrap() error { return e.error }

// forwardChecked copies what client sends to the server until either ends, or until it is not allowed, which it returns
// as a *protocolError.
func forwardChecked(inside, client net.Conn, admit func(line []byte) ([]byte, rights, error)) error {
	buf := make([]byte, spliceBuffer)
	r, held, err := forwardConnect(inside, client, buf, admit)
	if err != nil {
		return err
	}
	parser := protocolParser{rights: r}
	for {
		n, refusal := parser.accept(buf[:held])
		if n > 0 {
			if err := writeWithin(inside, buf[:n]); err != nil {
				return err
			}
			held = copy(buf, buf[n:held])
		}
		if refusal != nil {
			return &protocolError{refusal}
		}
		if parser.page {
			time.Sleep(pagePause)
			continue
		}
		room := buf[held:]
		if r.observer != nil {
			room = room[:min(len(room), observerRead)]
		}
		n, err := client.Read(room)
		held += n
		if n == 0 && err != nil {
			return err
		}
		if r.observer != nil {
			time.Sleep(r.observer.sent(n))
		}
	}
}

// forwardConnect reads the line with which client begins, and sends the server what admit makes of it. It returns the rights of the key,
// and how many bytes that follow the line are at the start of buf.
func forwardConnect(inside, client net.Conn, buf []byte, admit func(line []byte) ([]byte, rights, error)) (r rights, held int, err error) {
	if err := client.SetReadDeadline(time.Now().Add(connectTime)); err != nil {
		return r, 0, err
	}
	held, n, err := readLine(client, buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return r, 0, &protocolError{errors.New("authentication timeout")}
	}
	if err != nil {
		return r, 0, err
	}
	connect, r, err := admit(buf[:n-len(lineEnd)])
	if err != nil {
		return r, 0, &protocolError{err}
	}
	err = errors.Join(client.SetReadDeadline(time.Time{}), writeWithin(inside, connect))
	return r, copy(buf, buf[n:held]), err
}

// readLine fills buf until it has a line. It returns how many bytes it has, and how many of them are the line with its end.
func readLine(c net.Conn, buf []byte) (held, n int, err error) {
	for {
		read, err := c.Read(buf[held:])
		held += read
		switch _, n, refusal := cutLine(buf[:held]); {
		case refusal != nil:
			return held, 0, &protocolError{refusal}
		case n > 0:
			return held, n, nil
		case err != nil:
			return held, 0, err
		}
	}
}

// forward copies from src to dst until either ends.
func forward(dst, src net.Conn) {
	buf := make([]byte, spliceBuffer)
	for {
		n, err := src.Read(buf)
		if n > 0 && writeWithin(dst, buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// writeWithin writes all of b, or fails when the peer takes longer than spliceStall.
func writeWithin(c net.Conn, b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(spliceStall)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}
