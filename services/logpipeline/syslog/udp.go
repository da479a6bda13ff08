package syslog

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	udpBuffer   = 8 << 20 // receive buffer requested from the kernel
	maxDatagram = 64 << 10
	// readDatagrams is how many datagrams one system call reads.
	readDatagrams = 64
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
	ended, queues := make(chan struct{}), newDatagramQueues(UDP)
	g := task.New(ctx)
	g.Go("syslog udp close", func(ctx context.Context) error { return s.closeAfter(ctx, p, addr, ended, s.closeUDP) })
	g.Go("syslog udp read", func(context.Context) error {
		defer close(ended)
		defer queues.close()
		return s.receive(c, queues)
	})
	g.Go("syslog udp write", func(context.Context) error { s.writeDatagrams(queues); return nil })
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
		s.counters.dropped(DropKernel, "", int64(drops-s.drops))
		s.drops = drops
	}
}

// receive queues datagrams until c is closed. It does nothing else: the kernel's buffer, which all senders share, fills
// only if they send faster than this goroutine reads.
func (s *Server) receive(c *net.UDPConn, queues *datagramQueues) error {
	messages := make([]ipv4.Message, readDatagrams)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, maxDatagram)}
	}
	pc := ipv4.NewPacketConn(c) // of IPv6 sockets, too
	reader := newDatagramReader(s, queues)
	for {
		n, err := pc.ReadBatch(messages, 0)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range messages[:n] {
			if peer, ok := m.Addr.(*net.UDPAddr); ok {
				reader.read(m.Buffers[0][:m.N], unmap(peer.AddrPort()))
			}
		}
	}
}

// datagramReader takes the messages out of datagrams. A datagram is one message (RFC 5426 3.1), but senders exist that put several lines into one, or
// an octet count before the message.
type datagramReader struct {
	s      *Server
	queues *datagramQueues
	framer framer
	peer   netip.AddrPort // of the datagram that is read
	sender string
	lines  int // found in it
}

func newDatagramReader(s *Server, queues *datagramQueues) *datagramReader {
	r := &datagramReader{s: s, queues: queues}
	r.framer.emit = r.queue
	return r
}

// read queues the messages of one datagram.
func (r *datagramReader) read(datagram []byte, peer netip.AddrPort) {
	r.peer, r.sender, r.lines = peer, sequenceName(UDP, peer.Addr()), 0
	f := &r.framer
	*f = framer{max: r.s.limits.Load().MaxMessage, emit: f.emit, buf: f.buf[:0]}
	if f.feed(datagram) != nil { // an impossible count: it is text
		_ = r.queue(datagram[:min(len(datagram), f.max)], len(datagram) > f.max) // it never fails
	} else {
		_ = f.finish() // nor does this
	}
	r.s.counters.miscounted(r.sender, f.wrong)
	if r.lines == 0 {
		r.s.counters.dropped(DropEmpty, "", 1)
	}
}

// queue queues one message, or drops it with a reason: a sender over UDP cannot be made to wait. It never fails.
func (r *datagramReader) queue(msg []byte, cut bool) error {
	r.lines++
	if cut {
		r.s.counters.truncated()
	}
	queued := r.queues.add(r.sender, len(msg), r.s.limits.Load().UDPQueueBytes, func() []byte {
		return appendRecord(nil, Record{Time: time.Now(), Peer: r.peer.String(), Transport: UDP, Message: msg, Truncated: cut})
	})
	if !queued {
		r.s.counters.dropped(DropPeer, r.sender, 1)
	}
	return nil
}

// writeDatagrams writes what is queued until the queues are closed and empty.
func (s *Server) writeDatagrams(queues *datagramQueues) {
	var records []byte
	for {
		var sender string
		var n int
		var open bool
		sender, records, n, open = queues.take(records[:0], int(s.spool.writeSize()))
		switch {
		case !open:
			return
		case n == 0:
			<-queues.arrived
			continue
		}
		switch err := s.spool.append(sender, records); {
		case err == nil:
			s.counters.update(func(st *Stats) { st.Received[queues.transport] += int64(n) })
		case errors.Is(err, ErrFull):
			s.counters.dropped(DropSpool, sender, int64(n))
		default:
			s.counters.dropped(DropDisk, sender, int64(n))
		}
	}
}

// unmap shows an IPv4 sender of a dual-stack socket as an IPv4 address.
func unmap(p netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()) }
