package logpipeline_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// panicHook panics when a message is logged, in the goroutine that logs it.
type panicHook struct{ message string }

func (panicHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h panicHook) Fire(e *logrus.Entry) error {
	if e.Message == h.message {
		panic("boom")
	}
	return nil
}

// A line that makes the pipeline panic repeatedly is dead-lettered, and the lines after it are processed.
func TestLineThatPanicsIsDeadLettered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, conn := r.startOverTCP()
	sendAll(t, conn, failed("bob", "192.0.2.1"))
	r.wait(1)
	s.stop()
	spool := filepath.Join(r.dir, "spool")
	require.NoError(t, os.WriteFile(filepath.Join(spool, "spool-00000007.log"), []byte("no record\n"), 0o600))
	r.log = logrus.New()
	r.log.SetOutput(io.Discard)
	r.log.AddHook(panicHook{message: "spool record unreadable"})

	s = r.start()
	conn = dial(t, "tcp", r.cfg.SyslogTCPBind)
	sendAll(t, conn, failed("eve", "192.0.2.2"))
	require.Equal(t, "eve", r.wait(2)[1].User)
	require.Eventually(t, func() bool { return s.count("dead_lettered") == 1 }, patience, tick)
	letters := r.deadLetters()
	require.Len(t, letters, 1)
	require.Equal(t, "no record", string(letters[0].Data))
	require.Equal(t, bus.DLQSubject(logpipeline.Name, r.bus.Host()), letters[0].Subject)
	s.stop()
	s = r.start()
	require.Zero(t, s.count("dead_lettered"), "the checkpoint is after the line")
}

func TestDamagedCrashRecordIsIgnored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, os.MkdirAll(r.dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "crashes.json"), []byte("{"), 0o600))
	r.start()
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
}
