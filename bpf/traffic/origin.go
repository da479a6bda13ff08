package traffic

import (
	"math/bits"
	"slices"
)

// Origin is where packets to a target come from: an IP protocol and, with UDP, a source port.
type Origin struct {
	Proto uint8
	Port  uint16 // 0 unless Proto is UDP
	// Packets is a lower bound; an origin of more than a fifth of the packets is always there.
	Packets uint64
	// Size is the mean of about the latest 8 packets, in bytes of the frame.
	Size uint32
	// SourceBits has a bit for each hash of a source address. Sources estimates their number.
	SourceBits uint32
}

// MaxOriginSources is the most that Origin.Sources returns.
const MaxOriginSources = 110

// Sources estimates the number of different source addresses, up to MaxOriginSources (linear counting of 32 bits).
func (o Origin) Sources() float64 {
	const cells = 32
	return min(linear(cells, cells-bits.OnesCount32(o.SourceBits)), MaxOriginSources)
}

// AddOrigin adds o to the origin of t with the same protocol and port.
func (t *Target) AddOrigin(o Origin) {
	i := slices.IndexFunc(t.Origins, func(have Origin) bool { return have.Proto == o.Proto && have.Port == o.Port })
	if i < 0 {
		t.Origins = append(t.Origins, o)
		return
	}
	have := &t.Origins[i]
	sum := have.Packets + o.Packets
	have.Size = uint32((uint64(have.Size)*have.Packets + uint64(o.Size)*o.Packets) / max(1, sum))
	have.Packets = sum
	have.SourceBits |= o.SourceBits
}
