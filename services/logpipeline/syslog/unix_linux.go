package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	unixMode   = 0o666 // any program may log
	unixBuffer = 1 << 20
)

// serveUnix receives on the datagram socket path until ctx ends or another one is configured. The error says why it is not served.
func (s *Server) serveUnix(ctx context.Context, path string) error {
	c, err := listenUnixgram(path)
	if err != nil {
		return err
	}
	p := s.ports[Unix]
	s.portBound(p, Unix, c.LocalAddr())
	ended, queues := make(chan struct{}), newDatagramQueues(Unix)
	g := task.New(ctx)
	g.Go("syslog unix close", func(ctx context.Context) error {
		return s.closeAfter(ctx, p, path, ended, func() error { return errors.Join(os.Remove(path), c.Close()) })
	})
	g.Go("syslog unix read", func(context.Context) error {
		defer close(ended)
		defer queues.close()
		return s.receiveUnix(c, queues)
	})
	g.Go("syslog unix write", func(context.Context) error { s.writeDatagrams(queues); return nil })
	return g.Wait()
}

// listenUnixgram binds path. A socket there that nobody listens on is of an earlier process and removed; anything else is not.
func listenUnixgram(path string) (*net.UnixConn, error) {
	addr := &net.UnixAddr{Name: path, Net: "unixgram"}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket", path)
		}
		if c, err := net.DialUnix("unixgram", nil, addr); err == nil {
			_ = c.Close() // nothing was sent
			return nil, fmt.Errorf("%s: %w", path, syscall.EADDRINUSE)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	c, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(unixBuffer) // a smaller one only makes senders wait sooner
	failed := os.Chmod(path, unixMode)
	control(c, func(fd int) {
		failed = errors.Join(failed,
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	})
	if failed != nil {
		return nil, errors.Join(failed, c.Close())
	}
	return c, nil
}

// receiveUnix queues datagrams until c is closed. A sender waits while the socket is full, so nothing is lost there; what is over the share of
// its user in the queues is dropped and counted, so that the others do not wait for it.
func (s *Server) receiveUnix(c *net.UnixConn, queues *datagramQueues) error {
	buf, oob := make([]byte, maxDatagram+1), make([]byte, 256)
	for {
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		s.queueLocal(buf[:n], senderOf(oob[:oobn]), queues)
	}
}

// queueLocal queues one datagram, which is one message whatever is in it: a line end in it may come from whom the message is about.
func (s *Server) queueLocal(msg []byte, from localSender, queues *datagramQueues) {
	limit := s.limits.Load()
	cut := len(msg) > limit.MaxMessage
	if msg = trimEnd(msg[:min(len(msg), limit.MaxMessage)]); len(msg) == 0 {
		s.counters.dropped(DropEmpty, "", 1)
		return
	}
	if cut {
		s.counters.truncated()
	}
	user := Unix + "-unknown"
	if from.uid != nil {
		user = Unix + "-" + strconv.FormatUint(uint64(*from.uid), 10)
	}
	queued := queues.add(user, len(msg), limit.UDPQueueBytes, func() []byte {
		return appendRecord(nil, Record{Time: time.Now(), Transport: Unix, UID: from.uid, Exe: from.exe, Message: msg, Truncated: cut})
	})
	if !queued {
		s.counters.dropped(DropPeer, user, 1)
	}
}
