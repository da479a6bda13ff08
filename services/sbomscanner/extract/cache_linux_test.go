package extract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// cachedScans scans a folder with a cache and tells what was parsed.
type cachedScans struct {
	dir   string
	cache *extract.Cache
}

func (c cachedScans) scan(t testing.TB) (*inventory.Inventory, extract.Progress) {
	t.Helper()
	var last extract.Progress
	e, err := extract.New(extract.Options{Cache: c.cache, Progress: func(p extract.Progress) { last = p }})
	require.NoError(t, err)
	e.Settle(0)
	found, err := e.Directory(t.Context(), c.dir)
	require.NoError(t, err)
	return found, last
}

// changed returns once the change has another change time than before: clocks of file systems are coarse.
func changed(t *testing.T, path string, change func()) {
	t.Helper()
	before := changeTime(t, path)
	for changeTime(t, path) == before {
		change()
	}
}

func changeTime(t *testing.T, path string) syscall.Timespec {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Ctim
}

func TestUnchangedFilesAreNotParsedAgain(t *testing.T) {
	t.Parallel()
	scans := cachedScans{t.TempDir(), extract.NewCache()}
	write(t, scans.dir, map[string]string{
		"a/go.mod": goMod, "b/go.mod": "module b\n\ngo 1.16\n\nrequire example.org/x v1.0.0\n", "bad/poetry.lock": "lorem ipsum",
	})
	fresh, progress := scans.scan(t)
	require.Equal(t, 3, progress.Parsed)
	again, progress := scans.scan(t)
	require.Equal(t, fresh, again)
	require.Equal(t, extract.Progress{Visited: progress.Visited, Cached: 3}, progress)

	encoded, err := scans.cache.Encode()
	require.NoError(t, err)
	scans.cache, err = extract.DecodeCache(encoded)
	require.NoError(t, err)
	restored, progress := scans.scan(t)
	require.Zero(t, progress.Parsed)
	require.Equal(t, encodedText(t, fresh), encodedText(t, restored))
}

func encodedText(t *testing.T, found *inventory.Inventory) string {
	t.Helper()
	text, err := json.Marshal(found)
	require.NoError(t, err)
	return string(text)
}

func TestCacheHidesNoChange(t *testing.T) {
	t.Parallel()
	scans := cachedScans{t.TempDir(), extract.NewCache()}
	mod := filepath.Join(scans.dir, "go.mod")
	write(t, scans.dir, map[string]string{"go.mod": "module b\n\ngo 1.16\n\nrequire example.org/x v1.0.0\n", "other/go.mod": goMod})
	found, _ := scans.scan(t)
	require.Contains(t, urls(found), "pkg:golang/example.org/x@v1.0.0")

	t.Log("same size, same modification time, same inode")
	info, err := os.Stat(mod)
	require.NoError(t, err)
	changed(t, mod, func() {
		require.NoError(t, os.WriteFile(mod, []byte("module b\n\ngo 1.16\n\nrequire example.org/x v1.0.1\n"), 0o600))
		require.NoError(t, os.Chtimes(mod, info.ModTime(), info.ModTime()))
	})
	found, progress := scans.scan(t)
	require.Contains(t, urls(found), "pkg:golang/example.org/x@v1.0.1")
	require.Equal(t, 1, progress.Parsed)

	t.Log("a file that the parser looked for appears, then changes")
	sum := filepath.Join(scans.dir, "go.sum")
	require.NoError(t, os.WriteFile(sum, []byte("example.org/y v1.0.0 h1:x=\n"), 0o600))
	found, _ = scans.scan(t)
	require.Contains(t, urls(found), "pkg:golang/example.org/y@v1.0.0")
	changed(t, sum, func() { require.NoError(t, os.WriteFile(sum, []byte("example.org/y v1.0.2 h1:x=\n"), 0o600)) })
	found, _ = scans.scan(t)
	require.Contains(t, urls(found), "pkg:golang/example.org/y@v1.0.2")

	t.Log("files are removed")
	require.NoError(t, os.Remove(mod))
	found, _ = scans.scan(t)
	require.Equal(t, []string{"pkg:golang/github.com/burntsushi/toml@v1.5.0", "pkg:golang/stdlib@1.25.0"}, urls(found))
	require.Equal(t, 1, scans.cache.Files(), "removed files leave the cache")
}

func TestFileThatJustChangedIsNotTrusted(t *testing.T) {
	t.Parallel()
	cache := extract.NewCache()
	e, err := extract.New(extract.Options{Cache: cache})
	require.NoError(t, err)
	e.Settle(time.Hour)
	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": goMod})
	_, err = e.Directory(t.Context(), dir)
	require.NoError(t, err)
	require.Zero(t, cache.Files())
}

func TestCacheOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	_, err := extract.DecodeCache([]byte(`{"fingerprint": "other", "entries": []}`))
	require.ErrorIs(t, err, extract.ErrOtherVersion)
	_, err = extract.DecodeCache([]byte(`{"finger`))
	require.ErrorIs(t, err, extract.ErrBadCache)
}

func FuzzDecodeCache(f *testing.F) {
	scans := cachedScans{f.TempDir(), extract.NewCache()}
	require.NoError(f, os.WriteFile(filepath.Join(scans.dir, "go.mod"), []byte(goMod), 0o600))
	scans.scan(f)
	encoded, err := scans.cache.Encode()
	require.NoError(f, err)
	f.Add(encoded)
	f.Add(encoded[:len(encoded)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		cache, err := extract.DecodeCache(data)
		if err != nil {
			return
		}
		again, err := cache.Encode()
		require.NoError(t, err)
		decoded, err := extract.DecodeCache(again)
		require.NoError(t, err)
		require.Equal(t, cache.Files(), decoded.Files())
	})
}
