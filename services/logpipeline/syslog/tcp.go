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
	// acceptPause follows an error of accept, for example too many open files.
	acceptPause = 100 * time.Millisecond
	// restWait is how long the last bytes of a message are waited for where its count may be wrong.
	restWait = 2 * time.Second
)

var (
	errStopped = errors.New("stopped")                // ends a connection because the Server stops
	errEvicted = errors.New("another took its place") // ends a connection that connTable closed
)

// serveTCP accepts on addr, for TCP or TLS, until ctx ends or another address is configured. The
// connections run in g and outlive the listener. The error says why addr is not served.
func (s *Server) serveTCP(ctx context.Context, g *task.Group, transport, addr string) error {
	if transport == TLS && s.tls.Load() == nil {
		if err := s.loadTLS(*s.limits.Load()); err != nil {
			return err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	p := s.ports[transport]
	s.portBound(p, transport, l.Addr())
	ended := make(chan struct{})
	listener := task.New(ctx)
	listener.Go("syslog "+transport+" close", func(ctx context.Context) error { return s.closeAfter(ctx, p, addr, ended, l.Close) })
	listener.Go("syslog "+transport+" accept", func(ctx context.Context) error { defer close(ended); return s.accept(ctx, g, transport, l) })
	return listener.Wait()
}

func (s *Server) accept(ctx context.Context, g *task.Group, transport string, l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			s.counters.closed(CloseError, "")
			task.Pause(ctx, acceptPause)
			continue
		}
		limits := s.limits.Load()
		o, closed := s.conns.add(c, transport, limits.MaxConns, limits.MaxConnsPerPeer)
		for _, gone := range closed {
			s.counters.closed(gone.reason, gone.peer)
		}
		g.Go("syslog connection", func(ctx context.Context) error {
			s.serveConnection(ctx, o)
			return nil
		})
	}
}

// serveConnection reads a connection to its end. A panic, which its bytes may have caused, ends it alone.
func (s *Server) serveConnection(ctx context.Context, o *openConn) {
	defer s.conns.done(o)
	err := task.Call(ctx, "syslog connection", func(ctx context.Context) error {
		name, err := s.handshake(ctx, o)
		if err != nil {
			return err
		}
		return s.readConnection(ctx, o, name)
	})
	if _, panicked := errors.AsType[*task.PanicError](err); panicked {
		s.log.WithError(err).WithField("peer", o.peer).Error("a syslog connection was closed")
	}
	s.countClose(o.peer, err)
}

// closeConnections closes all connections when ctx ends.
func (s *Server) closeConnections(ctx context.Context) error {
	<-ctx.Done()
	s.conns.closeAll()
	return nil
}

// readConnection reads one connection to its end and returns why it ended, nil if the
// sender closed it. What was read is in the spool before more is read: a full spool makes
// the sender wait. name is that of the sender as it has proven it.
func (s *Server) readConnection(ctx context.Context, c *openConn, name string) error {
	in := &connection{s: s, transport: c.transport, name: name, stopped: ctx.Done(), evicted: c.evicted, peer: c.RemoteAddr().String(), sequence: c.peer}
	if addr, err := netip.ParseAddrPort(in.peer); err == nil {
		in.peer = unmap(addr).String()
	}
	f := &framer{max: s.limits.Load().MaxMessage, emit: in.add}
	buf := make([]byte, readBytes)
	var from io.Reader = c
	if c.secured != nil {
		from = c.secured
	}
	deadline := time.Now().Add(s.limits.Load().IdleTimeout)
	for ctx.Err() == nil {
		// Only a complete message moves the deadline: a byte now and then does not.
		until := deadline
		if f.mayBeWhole() {
			until = earlier(deadline, time.Now().Add(restWait))
		}
		if err := c.SetReadDeadline(until); err != nil {
			return nil
		}
		n, err := from.Read(buf)
		in.head = appendHead(in.head[:0], Record{Time: time.Now(), Peer: in.peer, Transport: in.transport, Name: in.name})
		waited := errors.Is(err, os.ErrDeadlineExceeded)
		if waited && until.Before(deadline) {
			err = f.takeAsWhole()
		}
		limits := s.limits.Load()
		f.setMax(limits.MaxMessage)
		before := in.messages
		if err := errors.Join(f.feed(buf[:n]), in.flush()); err != nil {
			return err
		}
		in.noteWrongCounts(f)
		if in.messages > before {
			now := time.Now()
			c.active.Store(now.UnixNano())
			deadline = now.Add(limits.IdleTimeout)
		}
		if err != nil { // what came is a message, though its end is missing
			failed := errors.Join(f.finish(), in.flush())
			in.noteWrongCounts(f)
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(failed, err)
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// countClose counts why a connection ended, unless the sender, a stop or connTable closed it.
func (s *Server) countClose(peer string, err error) {
	switch {
	case err == nil, errors.Is(err, net.ErrClosed), errors.Is(err, errStopped), errors.Is(err, errEvicted):
	case errors.Is(err, errHandshake):
		s.counters.closed(CloseHandshake, peer)
	case errors.Is(err, errFraming):
		s.counters.closed(CloseFraming, peer)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.counters.closed(CloseIdle, peer)
	default:
		s.counters.closed(CloseError, peer)
	}
}

// connection turns the messages of one connection into records.
type connection struct {
	s               *Server
	stopped         <-chan struct{} // closed when the Server stops
	evicted         <-chan struct{} // closed when another connection took the place
	transport, name string
	peer            string
	sequence        string // of the spool
	head            []byte // of the records of what was read last
	records         []byte // not yet written
	pending         int64  // how many
	messages        int64  // received so far
}

// add appends the record of msg and writes when there are enough for one write.
func (in *connection) add(msg []byte, cut bool) error {
	if cut {
		in.s.counters.truncated()
	}
	in.records = appendMessage(append(in.records, in.head...), msg, cut)
	in.pending++
	in.messages++
	if int64(len(in.records)) < in.s.spool.writeSize() {
		return nil
	}
	return in.flush()
}

// noteWrongCounts counts the messages of f whose count was wrong.
func (in *connection) noteWrongCounts(f *framer) {
	in.s.counters.miscounted(in.sequence, f.wrong)
	f.wrong = 0
}

// flush writes the records, and waits until there is room for them. The error is errStopped or errEvicted; so
// connections that gave way wait no longer, however many they are.
func (in *connection) flush() error {
	if in.pending == 0 {
		return nil
	}
	for {
		room := in.s.spool.waitRoom()
		if in.s.spool.append(in.sequence, in.records) == nil {
			break
		}
		in.s.counters.update(func(st *Stats) {
			if st.BlockedSince.IsZero() {
				st.BlockedSince = time.Now()
			}
		})
		select {
		case <-in.stopped:
			return errStopped
		case <-in.evicted:
			in.s.counters.dropped(DropEvicted, in.sequence, in.pending)
			return errEvicted
		case <-room:
		case <-time.After(in.s.cfg.RetryInterval):
		}
	}
	in.s.counters.update(func(st *Stats) {
		st.BlockedSince = time.Time{}
		st.Received[in.transport] += in.pending
	})
	in.records, in.pending = in.records[:0], 0
	return nil
}
