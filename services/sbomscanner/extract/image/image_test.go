package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/image"
)

func archive(t testing.TB, entries ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(entries); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: entries[i], Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(entries[i+1]))}))
		_, err := w.Write([]byte(entries[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func gzipped(t testing.TB, content []byte) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.String()
}

const (
	manifest = `[{"Config": "c", "Layers": ["l"]}]`
	config   = `{"rootfs": {"diff_ids": ["sha256:1"]}}`
)

// FuzzOpen reads whatever it is given as an image: without a panic, within its limits, and every file that it
// lists can be read to its size or to the end of the archive.
func FuzzOpen(f *testing.F) {
	layer := archive(f, "etc/.wh.x", "", "a/b", "content", ".wh..wh..opq", "")
	f.Add(archive(f, "manifest.json", manifest, "c", config, "l", string(layer)))
	f.Add(archive(f, "manifest.json", manifest, "c", config, "l", gzipped(f, layer)))
	f.Add([]byte(gzipped(f, archive(f, "manifest.json", manifest, "c", config, "l", string(layer)))))
	f.Add(archive(f, "index.json", `{"manifests": [{"digest": "a:b"}]}`, "blobs/a/b", `{"config": {"digest": "a:c"}, "layers": []}`, "blobs/a/c", `{}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "image.tar")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		visits := 0
		opened, err := image.Open(t.Context(), path, image.Options{
			Want: func(string, fs.FileInfo) bool { return true },
			Visit: func(string) error {
				visits++
				if visits > 100_000 {
					return errors.New("enough")
				}
				return nil
			},
			Problem: func(string, error) {},
			TempDir: dir,
			Limits:  image.Limits{Layers: 8, Files: 1000, Depth: 16, UnpackedBytes: 32 << 20, StoredBytes: 32 << 20, Ratio: 100},
		})
		if err != nil {
			return
		}
		defer func() { _ = opened.Close() }() // only read
		for name, layers := range opened.Files() {
			if !fs.ValidPath(name) {
				t.Fatalf("%q is not a clean path", name)
			}
			for _, top := range layers {
				file, err := opened.Open(name, top)
				require.NoError(t, err)
				n, err := io.Copy(io.Discard, io.LimitReader(file, 1<<20))
				require.NoError(t, err)
				if n > file.Size() {
					t.Fatalf("%q has more bytes than its size", name)
				}
			}
		}
	})
}
