package detect

import (
	"encoding/binary"

	"github.com/ironpost/ironpost/bpf/traffic"
)

// maxExact is up to how many values are counted exactly.
const maxExact = 64

// distinctCounter counts different values: exactly up to maxExact, then by a bitmap. A
// bitmap of the kernel's own may be united with it, hashed otherwise; the larger of both counts.
type distinctCounter struct {
	exact  map[uint64]struct{}
	own    traffic.Bitmap
	kernel traffic.Bitmap
	sum    float64 // of what the kernel's bitmaps stand for
}

const (
	// saturation is where a bitmap's estimate becomes a guess; then the sum of those united is the better one, as a scan
	// tries a port rarely twice.
	saturation = 4000
	// maxPorts there are.
	maxPorts = 65_535
)

// unite adds what the kernel counted in one interval, in so many probes.
func (d *distinctCounter) unite(b *traffic.Bitmap, probes uint64) {
	d.kernel.Or(b)
	n := b.Estimate()
	if n > saturation {
		n = max(n, float64(probes))
	}
	d.sum += min(n, float64(probes))
}

// add returns whether value is new, as far as can be told.
func (d *distinctCounter) add(value uint64) bool {
	bit := mix64(value) % traffic.BitmapBits
	word, mask := bit/64, uint64(1)<<(bit%64)
	fresh := d.own[word]&mask == 0
	d.own[word] |= mask
	if len(d.exact) >= maxExact {
		return fresh
	}
	if d.exact == nil {
		d.exact = map[uint64]struct{}{}
	}
	_, known := d.exact[value]
	d.exact[value] = struct{}{}
	return !known
}

func (d *distinctCounter) count() uint64 {
	n := uint64(len(d.exact))
	if n >= maxExact {
		n = max(n, uint64(d.own.Estimate()+0.5))
	}
	seen := d.kernel.Estimate()
	if seen > saturation {
		seen = min(max(seen, d.sum), maxPorts)
	}
	if seen > maxExact {
		return max(n, uint64(seen+0.5))
	}
	return max(n, uint64(d.kernel.Count()))
}

// mix64 is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashAddr makes a value of an address in its 16 bytes.
func hashAddr(a [16]byte) uint64 {
	return mix64(binary.BigEndian.Uint64(a[:8])) ^ binary.BigEndian.Uint64(a[8:])
}

// has tells whether value is among those counted, exactly up to maxExact, then perhaps.
func (d *distinctCounter) has(value uint64) bool {
	if _, known := d.exact[value]; known {
		return true
	}
	bit := mix64(value) % traffic.BitmapBits
	return len(d.exact) >= maxExact && d.own[bit/64]&(1<<(bit%64)) != 0
}
