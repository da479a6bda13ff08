package outbox

import (
	"strconv"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/event"
)

// samples are the waiting samples of one interface.
type samples struct {
	list     []event.Flow
	since    time.Time // of the oldest
	sampling uint32
	lost     uint64
}

// add adds the samples that there is room for and returns how many were dropped.
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

// due reports whether a record of the samples is due; closed makes any due.
func (s *samples) due(now time.Time, closed bool) bool {
	age := now.Sub(s.since)
	switch n := len(s.list); {
	case n == 0:
		return false
	case closed, n >= event.MaxSamples, age >= MaxSampleAge:
		return true
	default:
		return n >= MinSamples && age >= minSampleAge
	}
}

// take removes and returns the samples of one record.
func (s *samples) take(now time.Time) []event.Flow {
	n := min(len(s.list), event.MaxSamples)
	out := s.list[:n:n]
	s.list, s.since = s.list[n:], now
	if len(s.list) == 0 {
		s.list = nil
	}
	return out
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
	case s.Proto == protoICMP, s.Proto == protoICMPv6: // the fields are type and code, not ports
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

// flags formats TCP flags as their initials, lowest bit first; no flag is "-".
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
