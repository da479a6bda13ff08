package folder_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/folder"
)

func open(t *testing.T) (f *folder.Folder, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a", "b")
	f, err := folder.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f, path
}

func TestWriteReplacesWholeFile(t *testing.T) {
	t.Parallel()
	f, path := open(t)
	for _, content := range []string{"first, and longer", "second"} {
		require.NoError(t, f.Write("x", []byte(content)))
		data, err := f.Read("x", 100)
		require.NoError(t, err)
		require.Equal(t, content, string(data))
	}
	info, err := os.Stat(filepath.Join(path, "x"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = f.Read("x", 5)
	require.ErrorIs(t, err, folder.ErrTooLong)
	require.NoError(t, f.Rename("x", "y"))
	names, err := f.Names()
	require.NoError(t, err)
	require.Equal(t, []string{"y"}, names, "no temporary file is left")
	require.NoError(t, f.Remove("y"))
	require.NoError(t, f.Remove("y"))
	_, err = f.Read("y", 5)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestWriteOverTakesTheSparesBlocks(t *testing.T) {
	t.Parallel()
	f, path := open(t)
	require.NoError(t, f.Write("spare", []byte("room that is kept")))
	before, err := os.Stat(filepath.Join(path, "spare"))
	require.NoError(t, err)
	require.NoError(t, f.Write("x", []byte("old")))
	require.NoError(t, f.WriteOver("spare", "x", []byte("new")))
	data, err := f.Read("x", 100)
	require.NoError(t, err)
	require.Equal(t, "new", string(data))
	size, err := f.Size("x")
	require.NoError(t, err)
	require.Equal(t, int64(3), size)
	after, err := os.Stat(filepath.Join(path, "x"))
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
	names, err := f.Names()
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, names)
	require.Error(t, f.WriteOver("spare", "x", nil), "there is none")
	_, err = f.Size("spare")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	f, path := open(t)
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o600))
	for _, name := range []string{"x", ".x"} {
		require.NoError(t, os.Symlink(victim, filepath.Join(path, name)))
	}
	_, err := f.Read("x", 100)
	require.Error(t, err)
	require.NoError(t, f.Write("x", []byte("new")))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "untouched", string(content))
	require.Error(t, f.Write("../x", []byte("new")))
}
