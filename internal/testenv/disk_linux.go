package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// SmallDisk mounts a file system of a size such as "64m" for one test and returns where.
// It needs root.
func SmallDisk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size)
	if err != nil {
		err = fmt.Errorf("mount a small disk: %w", err)
	}
	Require(t, "mount", err)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// FillDisk fills the file system of dir, except for spare bytes, and returns the file that
// takes the space.
func FillDisk(t testing.TB, dir string, spare uint64) string {
	t.Helper()
	var fs syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &fs))
	path := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	block := make([]byte, fs.Bsize)
	for range int(fs.Bavail) - int(spare)/int(fs.Bsize) {
		if _, err = f.Write(block); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			break
		}
	}
	require.NoError(t, f.Close())
	return path
}
