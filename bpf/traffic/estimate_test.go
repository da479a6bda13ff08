package traffic_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
)

func TestBitmapEstimatesWithinItsStatedError(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 10, 100, 1000, 4000} {
		var b traffic.Bitmap
		for range n {
			bit := r.IntN(traffic.BitmapBits)
			b[bit/64] |= 1 << (bit % 64)
		}
		require.InEpsilon(t, float64(n), b.Estimate(), 0.1, "%d values", n)
		require.LessOrEqual(t, b.Count(), n)
	}
}

func TestOrIsTheUnionOfBitmaps(t *testing.T) {
	t.Parallel()
	a, b := traffic.Bitmap{1}, traffic.Bitmap{3, 1}
	a.Or(&b)
	require.Equal(t, traffic.Bitmap{3, 1}, a)
	require.Equal(t, 3, a.Count())
}

func TestRegistersEstimateWithinTheirStatedError(t *testing.T) {
	t.Parallel()
	for _, m := range []int{1024, 4096} {
		for _, n := range []int{1, 100, 3000, 100_000, 1_000_000} {
			t.Run(fmt.Sprint(m, "/", n), func(t *testing.T) {
				t.Parallel()
				require.InEpsilon(t, float64(n), filled(m, n, 7).Estimate(), 0.1)
			})
		}
	}
}

func TestMergedRegistersCountTheUnion(t *testing.T) {
	t.Parallel()
	a, b := filled(1024, 20_000, 1), filled(1024, 20_000, 2)
	a.Merge(b)
	require.InEpsilon(t, 40_000.0, a.Estimate(), 0.1)
}

func TestEmptySketchesEstimateZero(t *testing.T) {
	t.Parallel()
	require.Zero(t, new(traffic.Bitmap).Estimate())
	require.Zero(t, make(traffic.Registers, 64).Estimate())
	require.Zero(t, traffic.Registers(nil).Estimate())
}

func TestNamesAreComplete(t *testing.T) {
	t.Parallel()
	for c := range traffic.Class(traffic.NumClasses) {
		require.NotEmpty(t, c.String())
	}
	for r := range traffic.Reason(traffic.NumReasons) {
		require.NotEmpty(t, r.String())
	}
	require.Equal(t, "non_ip", traffic.NonIP.String())
	require.Equal(t, "bad_fragment", traffic.BadFragment.String())
	require.Equal(t, "unknown", traffic.Class(200).String())
}

func filled(m, n int, seed uint64) traffic.Registers {
	r := rand.New(rand.NewPCG(seed, 3))
	regs := make(traffic.Registers, m)
	for range n {
		h := r.Uint64()
		rank := uint8(bits.LeadingZeros64(h|1)) + 1
		i := h % uint64(m)
		regs[i] = max(regs[i], rank)
	}
	return regs
}
