package containerguard

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// Alerts that wait for Docker and the cooldowns outlive the change of their files' names; a later start renames nothing.
func TestFilesOfAnEarlierVersionAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now().UTC()
	data, err := event.Encode(&event.Alert{
		ID: "waits", Schema: event.Schema, TraceID: "t", Time: now, FirstSeen: now, LastSeen: now, Count: 1, Module: "log-pipeline", Host: "web-1",
		Severity: event.High, Title: "t", DedupKey: "k", Rule: event.Rule{ID: "r", Title: "t", Level: event.High},
	})
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "waiting"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "waiting", "0123.json"), data, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "memory.json"), []byte("{}"), 0o600))
	require.NoError(t, renameEarlier(dir))
	pending, err := openPendingAlerts(dir)
	require.NoError(t, err)
	require.NoError(t, pending.folder.Close())
	require.Len(t, pending.alerts, 1)
	require.Equal(t, "waits", pending.alerts["0123.json"].ID)
	require.FileExists(t, filepath.Join(dir, "state.json"))
	require.NoFileExists(t, filepath.Join(dir, "memory.json"))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "memory.json"), []byte("older"), 0o600))
	require.NoError(t, renameEarlier(dir))
	kept, err := os.ReadFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	require.Equal(t, "{}", string(kept))
}
