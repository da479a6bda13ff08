//go:build unix

package blocklist_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// What every user may write is not taken over; what was read before stays, until the mode is mended.
func TestFeedThatOthersCanChangeIsNotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "feed")
	require.NoError(t, os.WriteFile(path, []byte("192.0.2.0/24\n"), 0o600))
	reports := follow(t, quiet(), path)
	until(t, reports, func(r blocklist.FilesReport) bool { return r.Complete })
	require.NoError(t, os.Chmod(path, 0o666))
	require.NoError(t, os.WriteFile(path, []byte("192.0.2.0/24\n198.51.100.0/24\n"), 0o600))
	r := until(t, reports, func(r blocklist.FilesReport) bool { return len(r.Problems) > 0 })
	require.False(t, r.Changed)
	require.Contains(t, r.Problems[0], "chmod go-w "+path+"; its previous contents stay in force")
	require.NoError(t, os.Chmod(path, 0o600))
	r = until(t, reports, func(r blocklist.FilesReport) bool { return r.Changed })
	require.Len(t, r.Prefixes, 2)
	require.Empty(t, r.Problems)
}
