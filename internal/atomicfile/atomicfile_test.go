package atomicfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

func TestWriteFileReplacesTheWholeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	for _, content := range []string{"first, and longer", "second"} {
		require.NoError(t, atomicfile.WriteFile(path, []byte(content), 0o600))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(data))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, []string{"state.json"}, names(t, dir), "no temporary file is left")
}

func TestWriteFileFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o600))
	for _, name := range []string{"state", ".state"} {
		require.NoError(t, os.Symlink(victim, filepath.Join(dir, name)))
	}
	require.NoError(t, atomicfile.WriteFile(filepath.Join(dir, "state"), []byte("new"), 0o600))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "untouched", string(content))
	info, err := os.Lstat(filepath.Join(dir, "state"))
	require.NoError(t, err)
	require.True(t, info.Mode().IsRegular())
}

func TestFailedWriteKeepsTheOldFileAndLeavesNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700)) // a folder is not replaced
	require.Error(t, atomicfile.WriteFile(path, []byte("new"), 0o600))
	require.Equal(t, []string{"state"}, names(t, dir))
	require.ErrorIs(t, atomicfile.WriteFile(filepath.Join(dir, "missing", "state"), nil, 0o600), fs.ErrNotExist)
}

func TestWriteRefusesANameBelowOrOutsideTheRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	for _, name := range []string{"../x", "sub/x", "/x", ""} {
		require.Error(t, atomicfile.Write(root, name, []byte("x"), 0o600), name)
	}
	require.NoError(t, atomicfile.Write(root, "x", []byte("x"), 0o600))
	require.Equal(t, []string{"sub", "x"}, names(t, dir))
	require.NoError(t, atomicfile.Sync(root))
	require.NoError(t, atomicfile.SyncDir(dir))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
