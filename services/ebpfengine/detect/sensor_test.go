package detect_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// packet has the fields that the program reads.
type packet struct {
	at       time.Time
	src, dst netip.AddrPort
	class    traffic.Class
	proto    uint8
	bytes    uint32
	fragment bool
	tiny     bool
	bare     bool // RST without ACK
	vlan     uint16
}

// The default limits of the program.
const (
	gate             = 16
	samplesPerSecond = 256
	sampleBurst      = 64
)

// sensor is a model of the packet program in Go: it makes the windows and samples that the
// kernel would, so that detectors are tested on every system. Package replay tests the
// program itself.
type sensor struct {
	t         testing.TB
	detector  *detect.Detector
	egress    bool
	noSamples bool // the ring is full
	begin     time.Time
	seen      map[any]bool
	asked     map[any]bool
	pending   map[any]bool
	promoted  map[netip.Addr]bool
	window    traffic.Window
	sources   map[netip.Addr]*traffic.Source
	targets   map[netip.Addr]*traffic.Target
	senders   map[netip.Addr]map[netip.Addr]bool
	samples   []traffic.Sample
	tokens    float64
	last      time.Time
	found     []detect.Detection
}

func newSensor(t testing.TB, cfg detect.Config, egress bool) *sensor {
	t.Helper()
	return &sensor{
		t: t, detector: detect.New(cfg), egress: egress, tokens: sampleBurst,
		seen: map[any]bool{}, asked: map[any]bool{}, pending: map[any]bool{}, promoted: map[netip.Addr]bool{},
	}
}

func (s *sensor) open(at time.Time) {
	s.begin = at
	s.window = traffic.Window{Interface: "eth0", Start: at, Sampling: 1, Egress: s.egress}
	s.sources, s.targets = map[netip.Addr]*traffic.Source{}, map[netip.Addr]*traffic.Target{}
	s.senders = map[netip.Addr]map[netip.Addr]bool{}
}

// until ends all windows before at. Long silence is a few empty windows.
func (s *sensor) until(at time.Time) {
	if s.begin.IsZero() {
		s.open(at)
	}
	for !at.Before(s.begin.Add(time.Second)) {
		s.collect()
		if gap := at.Sub(s.begin); gap > 10*time.Minute {
			s.open(s.begin.Add(gap - 10*time.Minute))
		}
	}
}

func (s *sensor) collect() {
	s.window.End = s.begin.Add(time.Second)
	for _, src := range s.sources {
		if !s.promoted[src.Addr] && src.Packets < gate {
			continue
		}
		s.promoted[src.Addr] = true
		src.PortsEstimate, src.HostsEstimate = src.Ports.Estimate(), src.Hosts.Estimate()
		s.window.Sources = append(s.window.Sources, *src)
	}
	for addr, target := range s.targets {
		target.SourcesEstimate = float64(len(s.senders[addr]))
		slices.SortFunc(target.TopPorts, func(a, b traffic.PortCount) int { return int(b.Packets) - int(a.Packets) })
		target.TopPorts = target.TopPorts[:min(8, len(target.TopPorts))]
		s.window.Targets = append(s.window.Targets, *target)
	}
	slices.SortFunc(s.window.Sources, func(a, b traffic.Source) int { return a.Addr.Compare(b.Addr) })
	slices.SortFunc(s.window.Targets, func(a, b traffic.Target) int { return a.Addr.Compare(b.Addr) })
	if !s.noSamples {
		s.detector.Sample(s.samples)
	}
	s.samples = s.samples[:0]
	s.found = append(s.found, s.detector.Observe(s.window)...)
	s.open(s.window.End)
}

func (s *sensor) see(p packet) {
	s.until(p.at)
	if s.egress {
		s.answer(p)
	}
	target := s.targets[p.dst.Addr()]
	if target == nil {
		target = &traffic.Target{Addr: p.dst.Addr(), First: p.at, FromReflectorPorts: map[uint16]uint64{}}
		s.targets[p.dst.Addr()] = target
		s.senders[p.dst.Addr()] = map[netip.Addr]bool{}
	}
	s.senders[p.dst.Addr()][p.src.Addr()] = true
	target.Packets++
	target.Bytes += uint64(p.bytes)
	target.ByClass[p.class]++
	target.Last = p.at
	if p.fragment {
		target.Fragmented++
	}
	if p.class == traffic.UDP && slices.Contains(traffic.ReflectorPorts[:], p.src.Port()) && (!s.egress || !s.replies(p)) {
		target.FromReflectorPorts[p.src.Port()]++
	}
	if p.class <= traffic.UDP {
		i := slices.IndexFunc(target.TopPorts, func(c traffic.PortCount) bool { return c.Port == p.dst.Port() })
		if i < 0 {
			target.TopPorts = append(target.TopPorts, traffic.PortCount{Port: p.dst.Port()})
			i = len(target.TopPorts) - 1
		}
		target.TopPorts[i].Packets++
	}
	conversation := [2]netip.AddrPort{p.src, p.dst}
	switch {
	case p.class == traffic.TCPSYN:
		target.SYN++
		s.pending[conversation] = true
	case p.class == traffic.TCPACK && s.pending[conversation]:
		target.ACKCompleted++
		delete(s.pending, conversation)
	}
	s.source(p)
}

func (s *sensor) source(p packet) {
	src := s.sources[p.src.Addr()]
	if src == nil {
		src = &traffic.Source{Addr: p.src.Addr(), First: p.at}
		s.sources[p.src.Addr()] = src
	}
	src.Packets++
	src.Bytes += uint64(p.bytes)
	src.ByClass[p.class]++
	src.Last = p.at
	if p.fragment {
		src.Fragmented++
	}
	if p.class.Anomalous() || p.tiny {
		s.promoted[p.src.Addr()] = true
	}
	key := struct {
		src, dst netip.Addr
		port     uint16
		class    traffic.Class
	}{p.src.Addr(), p.dst.Addr(), p.dst.Port(), p.class}
	fresh := !s.seen[key]
	sure := p.class == traffic.TCPSYN || p.class == traffic.ICMPEcho || p.class.Anomalous() || p.tiny
	reply := !sure && s.replies(p)
	switch {
	case reply:
		src.Replies++
	case sure || p.class == traffic.UDP || ((p.class == traffic.TCPACK || p.class == traffic.TCPFINACK) && fresh):
		src.Probes++
		set(&src.Hosts, uint64(p.dst.Addr().As16()[15])*0x9e3779b97f4a7c15)
		if !slices.Contains(src.SampleHosts, p.dst.Addr()) {
			src.SampleHosts = append(src.SampleHosts[max(0, len(src.SampleHosts)-3):], p.dst.Addr())
		}
		if p.class <= traffic.UDP || p.tiny {
			set(&src.Ports, uint64(p.dst.Port())*0x9e3779b97f4a7c15)
			if !slices.Contains(src.SamplePorts, p.dst.Port()) {
				src.SamplePorts = append(src.SamplePorts[max(0, len(src.SamplePorts)-7):], p.dst.Port())
			}
		}
	}
	s.tokens = min(sampleBurst, s.tokens+samplesPerSecond*p.at.Sub(s.last).Seconds())
	s.last = p.at
	if fresh && s.tokens >= 1 {
		s.tokens--
		s.seen[key] = true
		s.samples = append(s.samples, traffic.Sample{
			Time: p.at, Source: p.src, Target: p.dst, Proto: p.proto, Class: p.class, Bytes: p.bytes, Fragment: p.fragment, VLAN: p.vlan, Reply: reply,
		})
	}
}

func set(b *traffic.Bitmap, hash uint64) { b[hash>>54/64] |= 1 << (hash >> 54 % 64) }

type request struct {
	remote, local netip.Addr
	port          uint16
	proto         uint8
}

func (s *sensor) replies(p packet) bool {
	switch p.class {
	case traffic.TCPSYNACK, traffic.TCPRST, traffic.ICMPOther:
		return true
	case traffic.UDP, traffic.TCPACK, traffic.TCPFINACK:
	default:
		return false
	}
	if s.egress {
		return s.asked[request{p.src.Addr(), p.dst.Addr(), p.dst.Port(), p.proto}]
	}
	return p.dst.Port() >= 32768 && p.src.Port() < 32768
}

// answer adds an outgoing packet.
func (s *sensor) answer(p packet) {
	if p.class == traffic.TCPSYN || p.class == traffic.UDP {
		s.asked[request{p.dst.Addr(), p.src.Addr(), p.src.Port(), p.proto}] = true
	}
	unreachable := p.class == traffic.ICMPOther && p.dst.Port()>>8 == 3
	if src := s.sources[p.dst.Addr()]; src != nil {
		switch {
		case p.class == traffic.TCPSYNACK:
			src.Answered++
		case p.class == traffic.TCPRST, unreachable:
			src.Refused++
		}
		if p.bare {
			src.RSTWithoutACK++
		}
	}
	if target := s.targets[p.src.Addr()]; target != nil {
		switch p.class {
		case traffic.TCPSYNACK:
			target.SYNACKOut++
		case traffic.TCPRST:
			target.RSTOut++
		}
		if p.bare {
			target.RSTWithoutACK++
		}
	}
}

// finish lets time pass until no attack runs, and returns all detections.
func (s *sensor) finish() []detect.Detection {
	s.until(s.begin.Add(3 * time.Second))
	return append(s.found, s.detector.Close()...)
}

// play feeds the frames of a real capture to a sensor that sees both directions.
func play(t testing.TB, name string) []detect.Detection {
	t.Helper()
	file, err := os.Open(testenv.Data(t, "pcap/"+name))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	r, err := capture.NewReader(file)
	require.NoError(t, err)
	s := newSensor(t, detect.DefaultConfig(), true)
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return s.finish()
		}
		require.NoError(t, err)
		if p, ok := parse(f); ok {
			s.see(p)
		}
	}
}

// parse reads IPv4 over Ethernet with at most one VLAN tag; the captures have nothing else.
func parse(f capture.Frame) (packet, bool) {
	data := f.Data
	p := packet{at: f.At}
	at := 12
	if binary.BigEndian.Uint16(data[at:]) == 0x8100 {
		p.vlan = binary.BigEndian.Uint16(data[at+2:]) & 0xfff
		at += 4
	}
	if binary.BigEndian.Uint16(data[at:]) != 0x0800 {
		return p, false
	}
	ip := data[at+2:]
	src, _ := netip.AddrFromSlice(ip[12:16])
	dst, _ := netip.AddrFromSlice(ip[16:20])
	p.bytes = uint32(at) + 2 + uint32(binary.BigEndian.Uint16(ip[2:]))
	p.proto = ip[9]
	l4 := ip[int(ip[0]&15)*4:]
	var from, to uint16
	switch p.proto {
	case 1:
		p.class, to = traffic.ICMPOther, binary.BigEndian.Uint16(l4)
		if l4[0] == 8 {
			p.class = traffic.ICMPEcho
		}
	case 6:
		from, to = binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:])
		p.class = map[byte]traffic.Class{
			2: traffic.TCPSYN, 0x12: traffic.TCPSYNACK, 0x10: traffic.TCPACK, 0x11: traffic.TCPFINACK, 4: traffic.TCPRST, 0x14: traffic.TCPRST,
		}[l4[13]&0x17]
		p.bare = l4[13]&0x14 == 4
	case 17:
		from, to = binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:])
		p.class = traffic.UDP
	}
	p.src, p.dst = netip.AddrPortFrom(src, from), netip.AddrPortFrom(dst, to)
	return p, true
}
