package tail

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A folder is listed again only when it has changed, or has changed so lately that its time does not tell.
func TestFolderIsListedOnceWhileUnchanged(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) { require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600)) }
	write("app.log")
	write("app.log.1")
	write("app-20261201.log")
	tailer := &Tailer{}
	first := tailer.folderOf(dir, maxSiblings)
	require.ElementsMatch(t, []string{"app.log", "app.log.1", "app-20261201.log"}, first.byBase["app.log"])
	require.NotSame(t, first, tailer.folderOf(dir, maxSiblings), "changed a moment ago")

	past := time.Now().Add(-time.Minute)
	require.NoError(t, os.Chtimes(dir, past, past))
	settledList := tailer.folderOf(dir, maxOldNames)
	require.Same(t, settledList, tailer.folderOf(dir, maxOldNames))
	require.NotSame(t, settledList, tailer.folderOf(dir, maxSiblings), "more names are asked for")

	write("app.log.2")
	require.Contains(t, tailer.folderOf(dir, maxSiblings).byBase["app.log"], "app.log.2")
	require.Equal(t, 5, tailer.listed)
}
