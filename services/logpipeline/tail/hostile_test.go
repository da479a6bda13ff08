package tail_test

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// One system call makes a file of a terabyte without a newline. It delays neither the
// lines of other files, nor the end of a context, nor Stats. It does not run in parallel:
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
			requireStatsWhileReading(t, r.tail)
			r.got = nil
			d.add("other.log", "seen\n")
			require.Eventually(t, func() bool { r.read(10, time.Second); return len(r.got) > 0 }, 10*time.Second, time.Millisecond)
			require.Equal(t, []string{"seen"}, r.got)

			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			require.Less(t, m.HeapAlloc, uint64(64<<20))
		})
	}
}

// A compressed file that begins with another content is not unpacked to its end: it may
// hold any number of bytes.
func TestUnrelatedCompressedFileIsNotUnpacked(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	r := newRig(t, d.path("app.log"))
	r.settle()
	d.add("app.log", "first\n")
	r.want("first")
	r.save()
	require.NoError(t, r.tail.Close())
	d.remove("app.log")
	d.add("app.log.1", "unrelated\n"+strings.Repeat("x", 1<<20))
	d.compress("app.log.1")
	require.NoError(t, os.Truncate(d.path("app.log.1.gz"), 600)) // its end cannot be read
	log, hook := test.NewNullLogger()
	tl, err := tail.New(r.cfg, r.saved, log)
	require.NoError(t, err)
	r.tail = tl
	r.settle()
	for _, e := range hook.AllEntries() {
		require.NotContains(t, e.Message, "cannot be unpacked")
	}
}

// requireStatsWhileReading requires that Stats advances while another goroutine is in Read.
func requireStatsWhileReading(t *testing.T, tl *tail.Tailer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := tl.Read(ctx, 10)
		done <- err
	}()
	before := tl.Stats().Bytes
	require.Eventually(t, func() bool { return tl.Stats().Bytes > before }, 5*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}
