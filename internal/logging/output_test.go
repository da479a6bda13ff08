package logging_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/testenv"
)

const patience = 30 * time.Second

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 5*time.Millisecond)
}

// fullPipe returns both ends of a pipe that takes nothing more.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	for err == nil {
		_, err = w.Write(bytes.Repeat([]byte("full\n"), 1000))
	}
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, w.SetWriteDeadline(time.Time{}))
	return r, w
}

// Nobody reads: writers go on, and all that is dropped is counted, and said when the log is read again.
func TestOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	const lines, size = 3000, 1000
	r, w := fullPipe(t)
	out := logging.NewOutput(w)
	log, err := logging.New(out, logging.Options{Level: "info", Format: logging.JSON})
	require.NoError(t, err)
	out.ReportTo(log)
	for i := range lines {
		log.WithField("n", i).Info(strings.Repeat("x", size))
	}
	require.NotZero(t, out.Dropped())
	require.Less(t, out.Dropped(), uint64(lines), "some wait")
	require.Contains(t, out.Reason(), fmt.Sprintf("%d lines of the log were dropped since", out.Dropped()))
	require.Contains(t, out.Reason(), "its reader does not read")

	var read testenv.Buffer
	go func() { _, _ = io.Copy(&read, r) }()
	eventually(t, func() bool { return strings.Contains(read.String(), "lines of the log were dropped") })
	require.Equal(t, lines-int(out.Dropped()), strings.Count(read.String(), strings.Repeat("x", size)))
	require.Contains(t, read.String(), fmt.Sprintf(`"lines":%d`, out.Dropped()))
	log.Info("as before")
	out.Close(patience)
	eventually(t, func() bool { return strings.Contains(read.String(), "as before") })
	require.Equal(t, 1, strings.Count(read.String(), "lines of the log were dropped"), "said once")
}

func TestLogThatIsNotReadIsAReasonBeforeLinesAreDropped(t *testing.T) {
	t.Parallel()
	r, w := fullPipe(t)
	out := logging.NewOutput(w)
	_, err := out.Write([]byte("a line\n"))
	require.NoError(t, err)
	eventually(t, func() bool { return strings.HasPrefix(out.Reason(), "the log is not read since ") })
	require.Zero(t, out.Dropped())
	go func() { _, _ = io.Copy(io.Discard, r) }()
	eventually(t, func() bool { return out.Reason() == "" })
	out.Close(patience)
}

func TestReaderThatHasGone(t *testing.T) {
	logging.IgnoreBrokenPipe()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	out := logging.NewOutput(w)
	for range 3 {
		_, err = out.Write([]byte("a line\n"))
		require.NoError(t, err)
	}
	out.Close(patience)
	require.EqualValues(t, 3, out.Dropped())
	require.Contains(t, out.Reason(), "broken pipe")
	require.NoError(t, w.Close())
}

func TestCloseDoesNotWaitForAReader(t *testing.T) {
	t.Parallel()
	_, w := fullPipe(t)
	out := logging.NewOutput(w)
	_, _ = out.Write([]byte("a line\n"))
	done := make(chan struct{})
	go func() { out.Close(10 * time.Millisecond); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "Close hangs")
	}
	_, _ = out.Write([]byte("too late\n"))
	require.EqualValues(t, 1, out.Dropped())
}

// fullDisk writes a part of each line and fails, until it is freed.
type fullDisk struct {
	testenv.Buffer
	freed atomic.Bool
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.freed.Load() {
		return d.Buffer.Write(p)
	}
	n, _ := d.Buffer.Write(p[:1])
	return n, syscall.ENOSPC
}

// A line that was cut does not spoil the next one.
func TestLinesAfterAFailedWriteAreWhole(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{}
	out := logging.NewOutput(disk)
	log, err := logging.New(out, logging.Options{Level: "info", Format: logging.JSON})
	require.NoError(t, err)
	out.ReportTo(log)
	log.Info("lost")
	eventually(t, func() bool { return out.Dropped() == 1 })
	require.Contains(t, out.Reason(), syscall.ENOSPC.Error())
	disk.freed.Store(true)
	log.Info("kept")
	eventually(t, func() bool { return strings.Contains(disk.String(), "were dropped") })
	out.Close(patience)
	lines := strings.Split(disk.String(), "\n")
	require.Equal(t, "{", lines[0])
	require.Contains(t, lines[1], `"msg":"kept"`)
	require.Contains(t, lines[2], `"lines":1`)
}
