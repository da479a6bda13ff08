package kmsg

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
)

// What is written to the kernel's log is read once, also over a restart, and what a program wrote is not the kernel's.
func TestRecordsAreReadOnceOverARestart(t *testing.T) {
	t.Parallel()
	out, err := os.OpenFile(device, os.O_WRONLY, 0)
	testenv.Require(t, "kmsg", err)
	t.Cleanup(func() { require.NoError(t, out.Close()) })
	mark := fmt.Sprintf("ironpost test %d", time.Now().UnixNano())
	write := func(i int) {
		_, err := fmt.Fprintf(out, "<12>test[1]: %s %d\n", mark, i)
		require.NoError(t, err)
	}
	var saved *State
	for round := range 2 {
		seen := 0
		s := start(t, saved)
		if round == 0 {
			require.Eventually(t, func() bool { return s.State() != nil }, 10*time.Second, time.Millisecond)
			write(0)
		}
		require.Eventually(t, func() bool {
			for _, r := range s.Next(100) {
				if r.Text == fmt.Sprintf("test[1]: %s %d", mark, round) {
					require.False(t, r.IsKernel())
					require.WithinDuration(t, time.Now(), r.Time, time.Minute)
					seen++
				}
			}
			s.Done()
			return seen > 0
		}, 10*time.Second, 5*time.Millisecond)
		require.Equal(t, 1, seen)
		saved = s.State()
		s.SetEnabled(false)
		if round == 0 {
			write(1)
		}
	}
}

func start(t *testing.T, saved *State) *Source {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s := New(saved, func() {}, func(uint64) {}, log)
	s.SetEnabled(true)
	ctx, cancel := context.WithCancel(t.Context())
	g := task.New(ctx)
	g.Go("kernel log", s.Run)
	t.Cleanup(func() { cancel(); require.NoError(t, g.Wait()) })
	return s
}

func TestParseRecord(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	r, ok := parseRecord([]byte("6,339,5140900,-;NET: \\x09a; b\n SUBSYSTEM=net\n"), "boot", now, 10*time.Second)
	require.True(t, ok)
	require.Equal(t, Record{Position: "kernel.boot.339", Priority: 6, Time: now.Add(-4859100 * time.Microsecond), Text: "NET: \ta; b", seq: 339}, r)
	require.True(t, r.IsKernel())
	for _, bad := range []string{"", ";", "6,1;x", "x,1,2,-;x", "6,-1,2,-;x"} {
		_, ok := parseRecord([]byte(bad), "boot", now, 0)
		require.False(t, ok, bad)
	}
}
