package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/event"
)

// maxGreeting bounds the line the daemon's socket starts with.
const maxGreeting = 512

// Greeting is the one line of JSON, ended by a newline, with which the daemon's
// socket starts every connection: the seed of the key of the process at the other end, valid until the daemon ends, the host,
// and the operator that the daemon takes it for, see ActSubject; or why the peer was refused. After it the connection speaks NATS.
type Greeting struct {
	Seed  string `json:"seed,omitempty"`
	Host  string `json:"host,omitempty"`
	Error string `json:"error,omitempty"`

	Operator string `json:"operator,omitempty"` // empty of versions without it
}

// DialSocket connects an operator through the daemon's unix socket at path. It
// returns ErrRefused, with the daemon's reason, to a peer that is no operator. The seed is
// valid until the daemon restarts: then the connection is closed and its calls return
// ErrDaemonRestarted.
func DialSocket(ctx context.Context, path string) (*Conn, error) {
	d := &socketDialer{path: path}
	first, err := d.readFirst(ctx)
	if err != nil {
		return nil, err
	}
	d.seed = first.Seed
	c, err := Connect(ctx, Options{
		Module: Operator, Host: first.Host, Seed: []byte(first.Seed),
		URL: "nats://ironpost.sock:4222", Log: silent(),
		dialer: d, operator: first.Operator,
	})
	if err != nil {
		return nil, err
	}
	d.conn.Store(c)
	return c, nil
}

// socketDialer dials the socket and consumes the greeting.
type socketDialer struct {
	path string
	seed string               // of the first greeting
	conn atomic.Pointer[Conn] // closed when the daemon was restarted
}

// Dial implements the dialer of nats.go. The address is not used.
func (d *socketDialer) Dial(string, string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	conn, g, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	if g.Seed != d.seed {
		_ = conn.Close() // nothing was sent on it
		if c := d.conn.Load(); c != nil {
			c.tasks.Go("close connection", func(context.Context) error { // closing waits for the dialer
				c.closeFor(ErrDaemonRestarted)
				return nil
			})
		}
		return nil, ErrDaemonRestarted
	}
	return conn, nil
}

// readFirst returns the greeting of a connection made for it alone.
func (d *socketDialer) readFirst(ctx context.Context) (Greeting, error) {
	conn, g, err := d.open(ctx)
	if err != nil {
		return g, err
	}
	_ = conn.Close() // only the greeting was wanted
	return g, nil
}

func (d *socketDialer) open(ctx context.Context) (net.Conn, Greeting, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.path)
	if err != nil {
		return nil, Greeting{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	g, err := readGreeting(ctx, conn)
	if err != nil {
		_ = conn.Close() // the error that counts is err
		return nil, Greeting{}, err
	}
	return conn, g, nil
}

func readGreeting(ctx context.Context, conn net.Conn) (Greeting, error) {
	var g Greeting
	if err := conn.SetReadDeadline(time.Now().Add(timeoutOf(ctx, connectTimeout))); err != nil {
		return g, fmt.Errorf("socket greeting: %w", err)
	}
	line, err := readLine(conn)
	if err != nil {
		return g, fmt.Errorf("socket greeting: %w", err)
	}
	if err := json.Unmarshal(line, &g); err != nil {
		return g, fmt.Errorf("socket greeting: %w", err)
	}
	if g.Error != "" {
		return g, fmt.Errorf("%w: %s", ErrRefused, event.PrintableASCII(g.Error, maxGreeting))
	}
	if g.Seed == "" {
		return g, errors.New("socket greeting carries no seed")
	}
	return g, conn.SetReadDeadline(time.Time{})
}

// readLine reads byte by byte, because what follows the line belongs to NATS.
func readLine(r io.Reader) ([]byte, error) {
	var line bytes.Buffer
	one := make([]byte, 1)
	for line.Len() < maxGreeting {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		if one[0] == '\n' {
			return line.Bytes(), nil
		}
		line.WriteByte(one[0])
	}
	return nil, fmt.Errorf("longer than %d bytes", maxGreeting)
}
