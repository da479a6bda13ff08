package outbox

import (
	"strconv"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
)

// samples are those of one interface that wait.
type samples struct {
	list     []event.Flow
	since    time.Time // of the oldest
	sampling uint32
	lost     uint64
}

// add takes what there is room for and returns how many were dropped.
func (s *samples) add(now time.Time, sampling uint32, list []traffic.Sample) uint64 {
	if len(s.list) == 0 {
		s.since = now
	}
	s.sampling = max(sampling, 1)
	n := min(len(list), maxSamples-len(s.list))
	for i := range list[:n] {
		s.list = append(s.list, flowOf(&list[i]))
	}
	dropped := uint64(len(list) - n)
	s.lost += dropped
	return dropped
}

// sampleBatch is what one message holds.
type sampleBatch struct {
	flows    []event.Flow
	sampling uint32
	lost     uint64
}

// take returns a batch if one is due.
func (s *samples) take(now time.Time, all bool) (sampleBatch, bool) {
	if !s.due(now.Sub(s.since), all) {
		return sampleBatch{}, false
	}
	n := min(len(s.list), event.MaxSamples)
	b := sampleBatch{flows: s.list[:n:n], sampling: s.sampling, lost: s.lost}
	s.list, s.lost, s.since = s.list[n:], 0, now
	if len(s.list) == 0 {
		s.list = nil
	}
	return b, true
}

func (s *samples) due(age time.Duration, all bool) bool {
	switch n := len(s.list); {
	case n == 0:
		return false
	case all, n >= event.MaxSamples, age >= MaxSampleAge:
		return true
	default:
		return n >= MinSamples && age >= minSampleAge
	}
}

func flowOf(s *traffic.Sample) event.Flow {
	f := event.Flow{
		Source: event.Endpoint{IP: s.Source.Addr().String(), Port: s.Source.Port()},
		Target: event.Endpoint{IP: s.Target.Addr().String(), Port: s.Target.Port()},
		Bytes:  s.Bytes, Protocol: protocol(s.Proto),
	}
	switch {
	case s.Proto == protoTCP && s.Class != traffic.Fragment:
		f.Flags = flags(s.Flags)
	case s.Proto == protoICMP, s.Proto == protoICMPv6: // its type and code are no port
		f.Source.Port, f.Target.Port = 0, 0
	}
	return f
}

// IP protocol numbers (IANA, protocol-numbers).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

func protocol(n uint8) string {
	switch n {
	case protoICMP:
		return "icmp"
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoICMPv6:
		return "icmpv6"
	}
	return strconv.Itoa(int(n))
}

// flags writes TCP flags as their initials, lowest bit first; no flag is "-".
func flags(bits uint8) string {
	const initials = "FSRPAUEC" // RFC 9293, section 3.1, from FIN up
	var out []byte
	for i := range len(initials) {
		if bits&(1<<i) != 0 {
			out = append(out, initials[i])
		}
	}
	if len(out) == 0 {
		return "-"
	}
	return string(out)
}
