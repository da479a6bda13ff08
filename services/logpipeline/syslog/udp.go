package syslog

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	udpBuffer = 8 << 20 // what we ask of the kernel
	datagram  = 64 << 10
)

// serveUDP receives on addr until ctx ends or another address is wanted. The error
// says why addr is not served.
func (s *Server) serveUDP(ctx context.Context, addr string) error {
	pc, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return err
	}
	c, ok := pc.(*net.UDPConn)
	if !ok {
		return errors.Join(net.UnknownNetworkError("udp"), pc.Close())
	}
	tune(c)
	p := s.ports[UDP]
	s.bound(p, c.LocalAddr(), UDP)
	stop := make(chan struct{})
	g := task.New(ctx)
	g.Go("syslog udp close", func(ctx context.Context) error { return s.until(ctx, p, addr, stop, c.Close) })
	g.Go("syslog udp read", func(context.Context) error { defer close(stop); return s.receive(c) })
	return g.Wait()
}

// receive takes datagrams until c is closed. Each one is a message (RFC 5426 3.1).
func (s *Server) receive(c *net.UDPConn) error {
	buf, oob, out := make([]byte, datagram), make([]byte, 64), []byte(nil)
	var drops uint32
	for {
		n, oobn, _, peer, err := c.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if now, ok := kernelDrops(oob[:oobn]); ok {
			s.tally.drop(DropKernel, int64(now-drops))
			drops = now
		}
		out = s.datagram(buf[:n], peer, out[:0])
	}
}

// datagram writes one message, or drops it with a reason: a sender over UDP cannot
// be made to wait.
func (s *Server) datagram(msg []byte, peer netip.AddrPort, out []byte) []byte {
	msg = trim(msg)
	if len(msg) == 0 {
		s.tally.drop(DropEmpty, 1)
		return out
	}
	if limit := s.maxMessage(); len(msg) > limit {
		msg = msg[:limit]
		s.tally.cut()
	}
	out = appendRecord(out, Received{Time: time.Now(), Peer: plain(peer).String(), Transport: UDP, Message: msg})
	switch err := s.spool.append(out); {
	case err == nil:
		s.tally.took(UDP, 1)
	case errors.Is(err, errFull):
		s.tally.drop(DropSpool, 1)
	default:
		s.tally.drop(DropDisk, 1)
	}
	return out
}

// plain shows an IPv4 sender of a dual-stack socket as what it is.
func plain(p netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()) }
