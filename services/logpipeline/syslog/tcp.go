package syslog

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	readBytes = 16 << 10 // of each connection
	// putBytes is when records found in one read are written before more are made.
	putBytes = 64 << 10
	// acceptPause follows an error of accept, such as too many open files.
	acceptPause = 100 * time.Millisecond
)

// errStopped ends a connection because the Server ends.
var errStopped = errors.New("stopped")

// serveTCP accepts on addr until ctx ends or another address is wanted. The
// connections run in g and outlive the listener. The error says why addr is not
// served.
func (s *Server) serveTCP(ctx context.Context, g *task.Group, addr string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	p := s.ports[TCP]
	s.bound(p, l.Addr(), TCP)
	stop := make(chan struct{})
	own := task.New(ctx)
	own.Go("syslog tcp close", func(ctx context.Context) error { return s.until(ctx, p, addr, stop, l.Close) })
	own.Go("syslog tcp accept", func(ctx context.Context) error { defer close(stop); return s.accept(ctx, g, l) })
	return own.Wait()
}

func (s *Server) accept(ctx context.Context, g *task.Group, l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			s.tally.close(CloseError)
			task.Pause(ctx, acceptPause)
			continue
		}
		if !s.admit(c) {
			s.tally.close(CloseLimit)
			_ = c.Close() // refused; nothing was read
			continue
		}
		g.Go("syslog connection", func(ctx context.Context) error {
			defer s.dismiss(c)
			s.converse(ctx, c)
			return nil
		})
	}
}

// admit registers c if there is a place for it.
func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.cfg.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) dismiss(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	_ = c.Close() // done with it either way
}

// converse reads one connection to its end. What was read is in the spool before
// more is read, so a full spool makes the sender wait.
func (s *Server) converse(ctx context.Context, c net.Conn) {
	in := &intake{s: s, peer: peerOf(c), put: func(lines []byte) bool { return s.put(ctx, lines) }}
	f := &framer{max: s.maxMessage(), emit: in.add}
	buf := make([]byte, readBytes)
	deadline := time.Now().Add(s.cfg.IdleTimeout)
	for ctx.Err() == nil {
		// Only a complete message moves the deadline: a byte now and then does not.
		if err := c.SetReadDeadline(deadline); err != nil {
			return
		}
		n, err := c.Read(buf)
		f.resize(s.maxMessage())
		if ferr := errors.Join(f.feed(buf[:n]), in.flush()); ferr != nil {
			s.hungUp(ferr)
			return
		}
		if in.fresh() {
			deadline = time.Now().Add(s.cfg.IdleTimeout)
		}
		if err != nil {
			s.goodbye(f, in, err)
			return
		}
	}
}

// goodbye ends a connection that cannot be read any more.
func (s *Server) goodbye(f *framer, in *intake, err error) {
	if errors.Is(err, io.EOF) {
		err = errors.Join(f.finish(), in.flush())
	}
	s.hungUp(err)
}

// hungUp counts why a connection ended, if it was not the sender's wish.
func (s *Server) hungUp(err error) {
	switch {
	case err == nil, errors.Is(err, net.ErrClosed), errors.Is(err, errStopped):
	case errors.Is(err, errFraming):
		s.tally.close(CloseFraming)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.tally.close(CloseIdle)
	default:
		s.tally.close(CloseError)
	}
}

func peerOf(c net.Conn) string {
	if p, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		return plain(p).String()
	}
	return c.RemoteAddr().String()
}

// intake turns the messages of one connection into records.
type intake struct {
	s       *Server
	put     func(lines []byte) bool // waits for room; false when the Server ends
	peer    string
	out     []byte
	pending int64
	some    bool
}

func (in *intake) add(msg []byte, cut bool) error {
	if cut {
		in.s.tally.cut()
	}
	in.out = appendRecord(in.out, Record{Time: time.Now(), Peer: in.peer, Transport: TCP, Message: msg})
	in.pending++
	in.some = true
	if int64(len(in.out)) < in.s.spool.portion() {
		return nil
	}
	return in.flush()
}

// flush writes the records, and waits until that was possible.
func (in *intake) flush() error {
	if in.pending == 0 {
		return nil
	}
	if !in.put(in.out) {
		return errStopped
	}
	in.s.tally.took(TCP, in.pending)
	in.out, in.pending = in.out[:0], 0
	return nil
}

// fresh reports whether a message has come since it was asked last.
func (in *intake) fresh() bool {
	some := in.some
	in.some = false
	return some
}
