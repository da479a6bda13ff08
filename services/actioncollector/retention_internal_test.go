package actioncollector

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// Segments older than the retention are removed, but only after the stored head says where the trail will
// begin; the rest verifies against that head.
func TestSegmentsOlderThanTheRetentionAreRemoved(t *testing.T) {
	b, dir := bustest.New(t), t.TempDir()
	trail, err := audit.Open(t.Context(), audit.Config{Dir: dir, SegmentSize: 2000})
	require.NoError(t, err)
	for n := range 30 {
		_, err := trail.Append(audit.Entry{ID: fmt.Sprint("old-", n), StreamSeq: uint64(n + 1), Action: []byte(`{"id":"x"}`)})
		require.NoError(t, err)
	}
	require.NoError(t, trail.Close())
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := New(Config{AuditPath: dir, AuditRetentionDays: 30}, Deps{Bus: b.Conn(bus.ActionCollector), Host: b.Host(), Log: log})
	require.NoError(t, err)
	s.heads, err = newHeadStore(t.Context(), s.deps.Bus, s.deps.Host)
	require.NoError(t, err)
	s.reopen(t.Context())
	closed := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "audit-*.log"))
		require.NoError(t, err)
		return names
	}
	before := len(closed())
	require.Greater(t, before, 2)

	s.pruneTrail(time.Now().Add(29 * 24 * time.Hour))
	require.Zero(t, s.head.First, "no segment is old enough")
	later := time.Now().Add(31 * 24 * time.Hour)
	s.pruneTrail(later)
	require.NotZero(t, s.head.First)
	require.Len(t, closed(), before, "the stored head does not say so yet")

	heads := task.New(t.Context())
	heads.Go("heads", s.storeHeads)
	require.Eventually(t, func() bool { return s.heads.storedFirst.Load() == s.head.First }, 30*time.Second, time.Millisecond)
	s.pruneTrail(later)
	require.Len(t, closed(), 1, "the former active segment")
	s.stop()
	require.NoError(t, heads.Wait())
	s.closeTrail()

	head, err := StoredHead(t.Context(), s.deps.Bus, b.Host())
	require.NoError(t, err)
	report, err := audit.Verify(t.Context(), dir, &head)
	require.NoError(t, err)
	require.True(t, report.Intact, report.Problems)
	require.Equal(t, head.First, report.First.Seq)
	require.Equal(t, head.Seq, report.Last.Seq)
}
