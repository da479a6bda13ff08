package detect

import (
	"encoding/binary"

	"github.com/ironpost/ironpost/bpf/traffic"
)

const (
	// maxExact is how many values are counted exactly.
	maxExact = 64
	// saturation is where a bitmap's estimate becomes a guess. Then the sum of the merged
	// estimates is better, because a scan rarely probes a port twice.
	saturation = 4000
	maxPorts   = 65_535
)

// distinctCounter counts different values: exactly up to maxExact, then by a bitmap. The
// kernel's bitmaps of the same values are merged separately, because they are hashed
// differently; the larger count wins.
type distinctCounter struct {
	exact  map[uint64]struct{}
	own    traffic.Bitmap
	kernel traffic.Bitmap
	sum    float64 // of the estimates of the kernel's bitmaps
}

// addBitmap adds the kernel's bitmap of one interval with so many probes.
func (d *distinctCounter) addBitmap(b *traffic.Bitmap, probes uint64) {
	d.kernel.Or(b)
	n := b.Estimate()
	if n > saturation {
		n = max(n, float64(probes))
	}
	d.sum += min(n, float64(probes))
}

// add adds a value and reports whether it is new; beyond maxExact a new one may be missed.
func (d *distinctCounter) add(value uint64) bool {
	bit := mix64(value) % traffic.BitmapBits
	word, mask := bit/64, uint64(1)<<(bit%64)
	newBit := d.own[word]&mask == 0
	d.own[word] |= mask
	if len(d.exact) >= maxExact {
		return newBit
	}
	if d.exact == nil {
		d.exact = map[uint64]struct{}{}
	}
	_, known := d.exact[value]
	d.exact[value] = struct{}{}
	return !known
}

// has reports whether a value was added; beyond maxExact it may be wrong to say yes.
func (d *distinctCounter) has(value uint64) bool {
	if _, known := d.exact[value]; known {
		return true
	}
	bit := mix64(value) % traffic.BitmapBits
	return len(d.exact) >= maxExact && d.own[bit/64]&(1<<(bit%64)) != 0
}

// resembles reports whether both counted mostly the same values.
func (d *distinctCounter) resembles(o *distinctCounter) bool {
	a, b, both := d.kernel.Count(), o.kernel.Count(), 0
	if a >= minAttempts && b >= minAttempts {
		common := d.kernel
		common.And(&o.kernel)
		both = common.Count()
	} else {
		a, b = len(d.exact), len(o.exact)
		for value := range d.exact {
			if _, known := o.exact[value]; known {
				both++
			}
		}
	}
	return a > 0 && b > 0 && 4*both >= 3*min(a, b)
}

func (d *distinctCounter) count() uint64 {
	n := uint64(len(d.exact))
	if n >= maxExact {
		n = max(n, uint64(d.own.Estimate()+0.5))
	}
	kernel := d.kernel.Estimate()
	if kernel > saturation {
		kernel = min(max(kernel, d.sum), maxPorts)
	}
	if kernel > maxExact {
		return max(n, uint64(kernel+0.5))
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

// hashAddr hashes an address in its 16-byte form.
func hashAddr(a [16]byte) uint64 {
	return mix64(binary.BigEndian.Uint64(a[:8])) ^ binary.BigEndian.Uint64(a[8:])
}
