package tail_test

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One system call makes a file of a terabyte without a newline. It delays neither the
// lines of other files, nor the end of a context, nor Stats; where it is a hole it is not read. It does not run in parallel:
// it measures the heap of the process.
func TestEndlessLineDelaysNothingElse(t *testing.T) {
	for name, begin := range map[string]string{"zero bytes": "", "a long line": "x"} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			r := newRig(t, d.path("*.log"))
			r.settle()
			d.add("endless.log", begin)
			require.NoError(t, os.Truncate(d.path("endless.log"), 1<<40))
			busy := func() bool {
				r.read(10, 50*time.Millisecond)
				return r.tail.Stats().Bytes > 0
			}
			require.Eventually(t, busy, 5*time.Second, time.Millisecond)

			began := time.Now()
			r.read(10, 50*time.Millisecond)
			require.Less(t, time.Since(began), 5*time.Second, "Read returns at the end of its context")
			r.got = nil
			d.add("other.log", "seen\n")
			require.Eventually(t, func() bool { r.read(10, time.Second); return len(r.got) > 0 }, 10*time.Second, time.Millisecond)
			require.Equal(t, []string{"seen"}, r.got)
			all := func() bool { r.read(10, 50*time.Millisecond); return r.tail.Stats().Lag == 0 }
			require.Eventually(t, all, 10*time.Second, time.Millisecond, "a terabyte is read faster than a disk can")
			r.got = nil
			d.add("endless.log", "rest\nafter\n")
			last := func() bool { r.read(10, 50*time.Millisecond); return slices.Contains(r.got, "after") }
			require.Eventually(t, last, 10*time.Second, time.Millisecond)

			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			require.Less(t, m.HeapAlloc, uint64(64<<20))
		})
	}
}

// Bytes without a newline that are no hole are read a part at a time, with pauses, in which nothing is done.
func TestLongLineIsReadWithPauses(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("*.log"))
	r.cfg.Poll = time.Hour
	r.kill()
	r.settle()
	d.add("long.log", strings.Repeat("x", 48<<20))
	d.add("other.log", "seen\n")
	for !slices.Contains(r.got, "seen") {
		require.NotZero(t, r.read(10, 10*time.Second))
	}
	part := func() bool { r.read(10, 50*time.Millisecond); return r.tail.Stats().Bytes > 16<<20 }
	require.Eventually(t, part, 10*time.Second, time.Millisecond)
	r.settle()
	require.Less(t, r.tail.Stats().Bytes, int64(20<<20), "the rest is for the next poll, in an hour")
}
