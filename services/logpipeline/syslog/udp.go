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
	udpBuffer   = 8 << 20 // receive buffer requested from the kernel
	maxDatagram = 64 << 10
)

// serveUDP receives on addr until ctx ends or another address is configured. The error
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
	setReceiveBuffer(c)
	s.mu.Lock()
	s.udp, s.drops = c, 0
	s.mu.Unlock()
	p := s.ports[UDP]
	s.portBound(p, UDP, c.LocalAddr())
	ended := make(chan struct{})
	g := task.New(ctx)
	g.Go("syslog udp close", func(ctx context.Context) error { return s.closeAfter(ctx, p, addr, ended, s.closeUDP) })
	g.Go("syslog udp read", func(context.Context) error { defer close(ended); return s.receive(c) })
	return g.Wait()
}

// closeUDP closes the socket. Its drops are counted first: the kernel forgets them with it.
func (s *Server) closeUDP() error {
	s.countKernelDrops()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.udp
	s.udp = nil
	return c.Close()
}

// countKernelDrops counts the datagrams that the kernel had no room for since the last call.
func (s *Server) countKernelDrops() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.udp == nil {
		return
	}
	if drops, ok := kernelDrops(s.udp); ok {
		s.counters.dropped(DropKernel, int64(drops-s.drops))
		s.drops = drops
	}
}

// receive takes datagrams until c is closed.
func (s *Server) receive(c *net.UDPConn) error {
	buf, record := make([]byte, maxDatagram), []byte(nil)
	for {
		n, peer, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		record = s.writeDatagram(buf[:n], peer, record[:0])
	}
}

// writeDatagram writes one datagram, which is one message (RFC 5426 3.1), or drops it
// with a reason: a sender over UDP cannot be made to wait. It returns record for reuse.
func (s *Server) writeDatagram(msg []byte, peer netip.AddrPort, record []byte) []byte {
	msg = trimEnd(msg)
	if len(msg) == 0 {
		s.counters.dropped(DropEmpty, 1)
		return record
	}
	if limit := int(s.maxMessage.Load()); len(msg) > limit {
		msg = msg[:limit]
		s.counters.truncated()
	}
	record = appendRecord(record, Record{Time: time.Now(), Peer: unmap(peer).String(), Transport: UDP, Message: msg})
	switch err := s.spool.append(sequenceName(UDP, peer.Addr()), record); {
	case err == nil:
		s.counters.update(func(st *Stats) { st.Received[UDP]++ })
	case errors.Is(err, errFull):
		s.counters.dropped(DropSpool, 1)
	default:
		s.counters.dropped(DropDisk, 1)
	}
	return record
}

// unmap shows an IPv4 sender of a dual-stack socket as an IPv4 address.
func unmap(p netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()) }
