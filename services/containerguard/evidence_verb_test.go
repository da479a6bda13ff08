package containerguard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oldEvidence writes evidence as an earlier run would have left it.
func (r *rig) oldEvidence(digit string, size int, age time.Duration) string {
	r.t.Helper()
	folder := filepath.Join(r.data(), "evidence", strings.Repeat(digit, 32))
	require.NoError(r.t, os.MkdirAll(folder, 0o700))
	file := filepath.Join(folder, "logs.jsonl")
	require.NoError(r.t, os.WriteFile(file, make([]byte, size), 0o600))
	at := time.Now().Add(-age)
	require.NoError(r.t, os.Chtimes(file, at, at))
	require.NoError(r.t, os.Chtimes(folder, at, at))
	return folder
}

func TestEvidenceIsBoundedInSizeAndAge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.EvidenceMaxBytes, r.cfg.EvidenceRetentionDays = 1<<20, 30
	const day = 24 * time.Hour
	large, old := r.oldEvidence("a", 900<<10, 20*day), r.oldEvidence("b", 1<<10, 31*day)
	newer, newest := r.oldEvidence("c", 100<<10, 10*day), r.oldEvidence("d", 100<<10, day)
	s := r.start()
	s.eventually(func() bool { return s.count("evidence_removed") == 2 })
	require.NoDirExists(t, old)
	require.NoDirExists(t, large)
	require.DirExists(t, newer)
	require.Contains(t, r.log.String(), "evidence removed")

	cfg := r.cfg
	cfg.EvidenceRetentionDays = 5
	commit, err := s.PrepareReload(t.Context(), cfg)
	require.NoError(t, err)
	commit()
	s.eventually(func() bool { return s.count("evidence_removed") == 3 })
	require.NoDirExists(t, newer)
	require.DirExists(t, newest)
	require.Equal(t, uint64(4096+100<<10), s.count("evidence_bytes"))
	require.Zero(t, s.count("evidence_refused"))
}
