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
	s.swapUDP(c)
	s.bound(p, c.LocalAddr(), UDP)
	stop := make(chan struct{})
	g := task.New(ctx)
	g.Go("syslog udp close", func(ctx context.Context) error { return s.until(ctx, p, addr, stop, s.closeUDP) })
	g.Go("syslog udp read", func(context.Context) error { defer close(stop); return s.receive(c) })
	return g.Wait()
}

// receive takes datagrams until c is closed. Each one is a message (RFC 5426 3.1).
func (s *Server) receive(c *net.UDPConn) error {
	buf, out := make([]byte, datagram), []byte(nil)
	for {
		n, peer, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		out = s.datagram(buf[:n], peer, out[:0])
	}
}

// swapUDP notes the socket that receives from now on.
func (s *Server) swapUDP(c *net.UDPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.udp, s.drops = c, 0
}

// closeUDP closes that socket. What it dropped is counted first: it is forgotten with it.
func (s *Server) closeUDP() error {
	s.countDrops()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.udp
	s.udp = nil
	return c.Close()
}

// countDrops counts what the kernel had no room for since it was asked last.
func (s *Server) countDrops() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp == nil {
		return
	}
	if now, ok := kernelDrops(s.udp); ok {
		s.tally.drop(DropKernel, int64(now-s.drops))
		s.drops = now
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
	out = appendRecord(out, Record{Time: time.Now(), Peer: plain(peer).String(), Transport: UDP, Message: msg})
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
