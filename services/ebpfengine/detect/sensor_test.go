package detect_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// packet is a packet to send.
type packet struct {
	at       time.Time
	src, dst netip.AddrPort // of ICMP, the port of dst is type<<8 | code
	class    traffic.Class
	proto    uint8
	bytes    uint32
	fragment bool
	tiny     bool
	bare     bool  // RST without ACK
	chunk    uint8 // of SCTP
	seq      uint8 // of TCP
}

// view is what the packet programs are given.
type view uint8

const (
	withEgress view = iota // incoming packets and, apart from them, outgoing ones
	noEgress               // incoming packets only
	bothWays               // all packets, as a capture has them
)

const (
	// collectedWindows is after how many silent windows all records are empty and free.
	collectedWindows = 6
	// idleWindows is for how many silent windows the programs remember traffic; they need not know of later ones.
	idleWindows = 130
)

// sensor runs the packet programs on frames, as the engine does on an interface, and the detectors on their counters.
type sensor struct {
	t         testing.TB
	view      view
	engine    *bpf.Engine
	detector  *detect.Detector
	noSamples bool // the ring is full
	begin     time.Time
	silent    int // windows
	found     []detect.Detection
}

// engines keeps loaded programs from test to test, because loading takes long.
type engines struct {
	mu   sync.Mutex
	free map[bool][]*bpf.Engine // by OneWay
}

func (e *engines) get(t testing.TB, oneWay bool) *bpf.Engine {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.free[oneWay]); n > 0 {
		engine := e.free[oneWay][n-1]
		e.free[oneWay] = e.free[oneWay][:n-1]
		return engine
	}
	filter, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: 1, Replay: true})
	usable(t, "bpf", err)
	engine, err := bpf.Load(bpf.Options{Interface: "eth0", Filter: filter, Replay: true, OneWay: oneWay, SamplesPerSecond: samplesPerSecond})
	require.NoError(t, err)
	return engine
}

func (e *engines) put(t testing.TB, oneWay bool, engine *bpf.Engine) {
	t.Helper()
	require.NoError(t, engine.Reset())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.free[oneWay] = append(e.free[oneWay], engine)
}

// samplesPerSecond is what one of two CPUs may take.
const samplesPerSecond = 256

var loaded = engines{free: map[bool][]*bpf.Engine{}}

// usable skips a test where this machine cannot run programs, and fails it for any other error.
func usable(t testing.TB, what string, err error) {
	t.Helper()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, bpf.ErrUnsupported) || errors.Is(err, bpf.ErrNoEgress) {
		testenv.Require(t, what, err)
	}
	require.NoError(t, err)
}

func newSensor(t testing.TB, cfg detect.Config, sees view) *sensor {
	t.Helper()
	oneWay := sees != bothWays
	s := &sensor{t: t, view: sees, engine: loaded.get(t, oneWay), detector: detect.New(cfg)}
	t.Cleanup(func() { loaded.put(t, oneWay, s.engine) })
	if sees == withEgress {
		_, err := s.engine.Egress()
		usable(t, "tcx", err)
		require.NoError(t, s.engine.SetEgressAttached(true))
	}
	return s
}

// until ends all windows before at. Long silence is a few empty windows.
func (s *sensor) until(at time.Time) {
	if s.begin.IsZero() {
		s.begin = at
	}
	for !at.Before(s.begin.Add(time.Second)) {
		s.endWindow()
		if gap := at.Sub(s.begin); s.silent > 0 && gap > 10*time.Minute {
			s.begin = s.begin.Add(gap - 10*time.Minute)
		}
	}
}

func (s *sensor) endWindow() {
	w := traffic.Window{Interface: "eth0", Start: s.begin, End: s.begin.Add(time.Second), Sampling: 1, Egress: s.view != noEgress}
	s.silent++
	if s.silent <= collectedWindows {
		samples, err := s.engine.Drain()
		require.NoError(s.t, err)
		if !s.noSamples {
			s.detector.Sample(samples)
		}
		w, err = s.engine.Collect(w.End)
		require.NoError(s.t, err)
		require.Equal(s.t, s.view != noEgress, w.Egress)
	}
	s.found = append(s.found, s.detector.Observe(w)...)
	s.begin = w.End
}

// wake tells the programs of the silent windows that were not collected.
func (s *sensor) wake() {
	if n := min(s.silent, idleWindows) - collectedWindows; n > 0 {
		require.NoError(s.t, s.engine.Skip(n))
	}
	s.silent = 0
}

// see adds an incoming packet.
func (s *sensor) see(p packet) {
	s.until(p.at)
	s.wake()
	_, err := s.engine.Run(p.frame(), p.at)
	require.NoError(s.t, err)
}

// leave adds an outgoing packet.
func (s *sensor) leave(p packet) {
	switch s.view {
	case bothWays:
		s.see(p)
	case withEgress:
		s.until(p.at)
		s.wake()
		require.NoError(s.t, s.engine.RunEgress(p.frame(), p.at))
	case noEgress:
		s.until(p.at)
	}
}

// finish lets time pass until no attack runs, and returns all detections.
func (s *sensor) finish() []detect.Detection {
	s.until(s.begin.Add(3 * time.Second))
	return append(s.found, s.detector.Close()...)
}

const (
	protoICMP, protoTCP, protoUDP, protoICMPv6, protoSCTP = 1, 6, 17, 58, 132

	etherHeader, ipv4Header, ipv6Header = 14, 20, 40
)

var flagsOf = map[traffic.Class]byte{
	traffic.TCPSYN: 2, traffic.TCPSYNACK: 0x12, traffic.TCPFIN: 1, traffic.TCPXmas: 0x29, traffic.TCPACK: 0x10, traffic.TCPFINACK: 0x11,
	traffic.TCPRST: 0x14, traffic.TCPOther: 3,
}

// frame returns the packet as an Ethernet frame of its number of bytes, or of as many as its headers need.
func (p packet) frame() []byte {
	if p.src.Addr().Is6() {
		payload := p.payload(int(p.bytes) - etherHeader - ipv6Header)
		f := make([]byte, etherHeader+ipv6Header, etherHeader+ipv6Header+len(payload))
		f[12], f[13] = 0x86, 0xdd
		f[14], f[20], f[21] = 0x60, p.proto, 64
		binary.BigEndian.PutUint16(f[18:], uint16(len(payload)))
		copy(f[22:], p.src.Addr().AsSlice())
		copy(f[38:], p.dst.Addr().AsSlice())
		return append(f, payload...)
	}
	payload := p.payload(int(p.bytes) - etherHeader - ipv4Header)
	f := make([]byte, etherHeader+ipv4Header, etherHeader+ipv4Header+len(payload))
	f[12], f[14], f[22], f[23] = 8, 0x45, 64, p.proto
	binary.BigEndian.PutUint16(f[16:], uint16(ipv4Header+len(payload)))
	switch {
	case p.fragment && p.tiny:
		f[20] = 0x20 // more fragments
	case p.fragment:
		f[21] = 100 // the offset
	}
	copy(f[26:], p.src.Addr().AsSlice())
	copy(f[30:], p.dst.Addr().AsSlice())
	return append(f, payload...)
}

func (p packet) payload(size int) []byte {
	least := map[uint8]int{protoTCP: 20, protoUDP: 8, protoICMP: 8, protoICMPv6: 8, protoSCTP: 16}[p.proto]
	b := make([]byte, max(size, least))
	switch p.proto {
	case protoICMP, protoICMPv6:
		binary.BigEndian.PutUint16(b, p.dst.Port())
		return b
	case protoTCP:
		b[12], b[13] = 5<<4, flagsOf[p.class]
		if p.bare {
			b[13] = 4
		}
		b[7] = p.seq
		b[11] = b[13] >> 4 & 1 // an ACK acknowledges the SYN of sequence number 0
	case protoUDP:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	case protoSCTP:
		b[12] = p.chunk
	default:
		return b
	}
	binary.BigEndian.PutUint16(b, p.src.Port())
	binary.BigEndian.PutUint16(b[2:], p.dst.Port())
	if p.tiny {
		return b[:map[uint8]int{protoTCP: 8, protoUDP: 4}[p.proto]]
	}
	return b
}
