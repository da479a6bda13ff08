package quarantine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

func TestHealthAnswersWhileEvidenceIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := filepath.Join(dir, evidenceFolder, strings.Repeat("0a", 16))
	require.NoError(t, os.MkdirAll(old, 0o700))
	const files = 30_000 // enough that removing them takes a while
	first := filepath.Join(old, "0")
	require.NoError(t, os.WriteFile(first, []byte("x"), 0o600))
	for i := range files {
		require.NoError(t, os.Link(first, filepath.Join(old, fmt.Sprint(i+1))))
	}
	m := &Manager{evidence: openEvidenceStore(dir, EvidenceLimits{MaxBytes: 1 << 20}, logrus.New(), func() map[string]bool { return nil }, nil)}

	made := make(chan error, 1)
	go func() {
		root, err := m.evidence.create(strings.Repeat("0b", 16))
		if err == nil {
			err = root.Close()
		}
		made <- err
	}()
	require.Eventually(t, func() bool { return count(old) < files }, 10*time.Second, time.Microsecond, "the removal begins")
	m.EvidenceReason()
	m.Evidence()
	require.DirExists(t, old, "health had to wait for the removal")
	require.NoError(t, <-made)
	require.NoDirExists(t, old)
}

// count returns how many files are in dir.
func count(dir string) int {
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	names, _ := f.Readdirnames(-1)
	return len(names)
}
