package traffic

import (
	"math"
	"math/bits"
)

// BitmapBits is the size of a Bitmap.
const BitmapBits = 1024

// Bitmap is a set of hashed values that estimates their number (linear counting; Whang, Vander-Zanden and Taylor
// 1990). Standard error: 1 % at 100 distinct values, 3 % at 1,000, 7 % at 4,000; it is full at about 7,000.
type Bitmap [BitmapBits / 64]uint64

// Or adds the values of o.
func (b *Bitmap) Or(o *Bitmap) {
	for i := range b {
		b[i] |= o[i]
	}
}

// And leaves the values that o has too, and others that share a bit with one of o.
func (b *Bitmap) And(o *Bitmap) {
	for i := range b {
		b[i] &= o[i]
	}
}

// Count returns the number of bits set, a lower bound of the distinct values.
func (b *Bitmap) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// Estimate returns the estimated number of distinct values.
func (b *Bitmap) Estimate() float64 {
	return linear(BitmapBits, BitmapBits-b.Count())
}

// Registers is a HyperLogLog sketch (Flajolet et al. 2007) of a power of two registers, one byte each. Standard error: 1.04/√len, that
// is 2.3 % for the 2,048 registers of a target and of a window.
type Registers []uint8

// Merge adds the values of o, which must have the same length.
func (r Registers) Merge(o Registers) {
	for i := range min(len(r), len(o)) {
		r[i] = max(r[i], o[i])
	}
}

// Estimate returns the estimated number of distinct values.
func (r Registers) Estimate() float64 {
	m := float64(len(r))
	if m == 0 {
		return 0
	}
	var counts [256]int // registers by value
	for _, v := range r {
		counts[v]++
	}
	sum, zero := 0.0, counts[0]
	for v, n := range counts {
		if n > 0 {
			sum += math.Ldexp(float64(n), -v)
		}
	}
	raw := 0.7213 / (1 + 1.079/m) * m * m / sum
	if raw <= 2.5*m && zero > 0 {
		return linear(len(r), zero)
	}
	return raw
}

// linear returns the linear-counting estimate of distinct values for a number of cells of which some are empty.
func linear(cells, empty int) float64 {
	m := float64(cells)
	return m * math.Log(m/math.Max(float64(empty), 0.5))
}
