package logpipeline_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
)

func TestSourcesOpenTheConfiguredInputs(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][3]bool{ // UDP, TCP, files
		logpipeline.SourceSyslog:    {true, true, false},
		logpipeline.SourceSyslogUDP: {true, false, false},
		logpipeline.SourceSyslogTCP: {false, true, false},
		logpipeline.SourceFile:      {false, false, true},
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.cfg.Sources = []string{source}
			r.cfg.SyslogBind, r.cfg.SyslogTCPBind = freeAddr(t), freeAddr(t)
			s := r.start()
			require.Eventually(t, func() bool {
				return want == [3]bool{listening("udp", r.cfg.SyslogBind), listening("tcp", r.cfg.SyslogTCPBind), s.count("files") > 0}
			}, patience, tick)
		})
	}
}

func TestWatchPathsMayBePatterns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	r.cfg.WatchPaths = []string{filepath.Join(dir, "*.log"), filepath.Join(dir, "missing")}
	s := r.start()
	appendTo(t, filepath.Join(dir, "new.log"), failed("bob", "192.0.2.1"))
	appendTo(t, filepath.Join(dir, "new.txt"), failed("eve", "192.0.2.2"))
	require.Equal(t, "bob", r.wait(1)[0].User)
	require.Equal(t, event.Healthy, s.Health().Status, "a missing file is no reason")
}

func TestCheckpointIntervalIsTheTimeBetweenCheckpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write("noise\n")
	require.Eventually(t, func() bool { return s.count("checkpoints") > 1 }, patience, tick)
	s.stop()

	r.cfg.CheckpointIntervalSecs = 3600
	s = r.start()
	at := s.count("checkpoints")
	r.write("noise\n")
	s.waitLines(1)
	require.Equal(t, at, s.count("checkpoints"))
}

func TestRulesPathChoosesTheRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.RulesPath = absolute(t, "testdata/rules/keyword.yml")
	s := r.start()
	require.Equal(t, uint64(1), s.count("rules"))
	r.write(failed("bob", "192.0.2.1") + canary("a"))
	require.Equal(t, ruleCanary, r.wait(1)[0].Rule.ID)
	s.stop()

	r.cfg.RulesPath, r.cfg.ShippedRules = "", true
	s = r.start()
	require.Greater(t, s.count("rules"), uint64(12))
	require.Equal(t, event.Healthy, s.Health().Status, "%v", s.Health().Reasons)
}

func TestDedupWindowSecsIsTheTimeThatEndsASeries(t *testing.T) {
	t.Parallel()
	for span, want := range map[int]int{1: 0, 3600: 1} { // the revision of the second line, of its own series or the first one's
		r := newRig(t)
		r.cfg.DedupWindowSecs = span
		s := r.start()
		now := time.Now().UTC()
		r.write(now.Add(-30*time.Second).Format(time.RFC3339) + " web1 x[1]: canary\n" + now.Format(time.RFC3339) + " web1 x[1]: canary\n")
		s.waitLines(2)
		require.Equal(t, want, r.wait(2)[1].Revision)
	}
}

func TestMaxLineBytesCutsLongLines(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]uint64{1024: 1, 4096: 0} {
		r := newRig(t)
		r.cfg.MaxLineBytes = limit
		s := r.start()
		r.write(strings.TrimSpace(canary("a")) + strings.Repeat("x", 1500) + "\n")
		a := r.wait(1)[0]
		require.Equal(t, want, s.count("truncated"))
		require.Equal(t, limit == 1024, len(a.Evidence[0]) <= 1024)
	}
}

func TestSpoolMaxBytesBoundsTheSpool(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Sources = []string{logpipeline.SourceSyslogUDP}
	r.cfg.SyslogBind = freeAddr(t)
	r.cfg.SpoolMaxBytes = 1 << 20
	r.cfg.CheckpointIntervalSecs = 3600 // nothing of the spool is deleted without a checkpoint
	s := r.start()
	require.Eventually(t, func() bool { return listening("udp", r.cfg.SyslogBind) }, patience, tick)
	conn := dial(t, "udp", r.cfg.SyslogBind)
	noise := []byte(strings.Repeat("x", 8000))
	require.Eventually(t, func() bool {
		_, err := conn.Write(noise)
		return err == nil && s.count("syslog_dropped_spool_full") > 0
	}, patience, tick/10)
	require.LessOrEqual(t, s.count("spool_bytes"), uint64(1<<20))
}

func TestUnsupportedStorageDegrades(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Storage.RedisURL = "redis://:secret@h"
	h := r.build().Health()
	require.Equal(t, event.Degraded, h.Status)
	require.Contains(t, fmt.Sprint(h.Reasons), "storage.redis_url")
	require.NotContains(t, fmt.Sprint(h.Reasons), "secret")
}
