package extract_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// layer returns a layer with these entries in order. A name that ends in / is a folder; content that begins with → is a
// symbolic link, with = a hard link.
func layer(t *testing.T, entries ...[2]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e[0], Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(e[1]))}
		switch {
		case strings.HasSuffix(e[0], "/"):
			h.Typeflag = tar.TypeDir
		case strings.HasPrefix(e[1], "→"):
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, strings.TrimPrefix(e[1], "→"), 0
		case strings.HasPrefix(e[1], "="):
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, strings.TrimPrefix(e[1], "="), 0
		}
		require.NoError(t, w.WriteHeader(h))
		if h.Size > 0 {
			_, err := w.Write([]byte(e[1]))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// compress is how a layer is stored.
type compress func(*testing.T, []byte) []byte

func plain(_ *testing.T, content []byte) []byte { return content }

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func zstandard(t *testing.T, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return w.EncodeAll(content, nil)
}

// dockerSave returns an archive as docker save writes it.
func dockerSave(t *testing.T, as compress, layers ...[]byte) []byte {
	t.Helper()
	var entries [][2]string
	var names, diffIDs []string
	for _, l := range layers {
		name := digest(l) + "/layer.tar"
		diffIDs = append(diffIDs, "sha256:"+digest(l))
		names = append(names, name)
		entries = append(entries, [2]string{name, string(as(t, l))})
	}
	config := encoded(t, map[string]any{"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}})
	entries = append(entries, [2]string{"config.json", config}, [2]string{"manifest.json", encoded(t, []map[string]any{
		{"Config": "config.json", "RepoTags": []string{"app:1"}, "Layers": names},
	})})
	return layer(t, entries...)
}

// ociLayout returns an archive of an OCI image layout with an index in the index.
func ociLayout(t *testing.T, as compress, layers ...[]byte) []byte {
	t.Helper()
	var entries [][2]string
	put := func(content string) map[string]any {
		d := digest([]byte(content))
		entries = append(entries, [2]string{"blobs/sha256/" + d, content})
		return map[string]any{"digest": "sha256:" + d, "size": len(content)}
	}
	var descriptors []any
	var diffIDs []string
	for _, l := range layers {
		diffIDs = append(diffIDs, "sha256:"+digest(l))
		descriptors = append(descriptors, put(string(as(t, l))))
	}
	config := put(encoded(t, map[string]any{"rootfs": map[string]any{"diff_ids": diffIDs}}))
	manifest := put(encoded(t, map[string]any{"config": config, "layers": descriptors}))
	attestation := put("{}")
	attestation["platform"] = map[string]string{"os": "unknown", "architecture": "unknown"}
	index := put(encoded(t, map[string]any{"manifests": []any{attestation, manifest}}))
	index["annotations"] = map[string]string{"io.containerd.image.name": "app:1"}
	entries = append(entries, [2]string{"index.json", encoded(t, map[string]any{"manifests": []any{index}})})
	return layer(t, entries...)
}

func archive(t *testing.T, options extract.Options, content []byte) (*inventory.Inventory, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	options.TempDir = t.TempDir()
	e, err := extract.New(options)
	require.NoError(t, err)
	found, err := e.ImageArchive(t.Context(), path)
	left, readErr := os.ReadDir(options.TempDir)
	require.NoError(t, readErr)
	require.Empty(t, left, "temporary files stay")
	return found, err
}

func status(packages ...string) string {
	text := ""
	for _, p := range packages {
		text += "Package: " + p + "\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
	}
	return text
}

const release = "ID=debian\nVERSION_ID=12\n"

func TestImageNamesTheLayerThatBroughtEachPackage(t *testing.T) {
	t.Parallel()
	layers := [][]byte{
		layer(t, [2]string{"etc/os-release", "→../usr/lib/os-release"}, [2]string{"usr/lib/os-release", release},
			[2]string{"var/lib/dpkg/status", status("base", "gone", "again")}),
		layer(t, [2]string{"./var/lib/dpkg/status", status("base", "second")}, [2]string{"app/", ""}, [2]string{"app/go.mod", goMod}),
		layer(t, [2]string{"var/lib/dpkg/status", status("base", "second", "third", "again")}),
	}
	want := map[string]int{
		"pkg:deb/debian/base@1?arch=all&distro=debian-12":   0,
		"pkg:deb/debian/second@1?arch=all&distro=debian-12": 1,
		"pkg:deb/debian/third@1?arch=all&distro=debian-12":  2,
		"pkg:deb/debian/again@1?arch=all&distro=debian-12":  2,
		"pkg:golang/github.com/burntsushi/toml@v1.5.0":      1,
		"pkg:golang/stdlib@1.25.0":                          1,
	}
	for name, content := range map[string][]byte{
		"docker save": dockerSave(t, plain, layers...), "docker save, compressed": dockerSave(t, gzipped, layers...),
		"OCI": ociLayout(t, plain, layers...), "OCI, gzip": ociLayout(t, gzipped, layers...), "OCI, zstd": ociLayout(t, zstandard, layers...),
		"archive in gzip": gzipped(t, dockerSave(t, plain, layers...)), "all in zstd": zstandard(t, ociLayout(t, gzipped, layers...)),
	} {
		found, err := archive(t, extract.Options{}, content)
		require.NoError(t, err, name)
		require.True(t, found.Complete(), "%s: %v", name, found.Problems)
		require.Equal(t, "app:1", found.Asset.Name, name)
		require.Regexp(t, "^sha256:[0-9a-f]{64}$", found.Asset.Digest, name)
		got := map[string]string{}
		for _, p := range found.Packages {
			got[p.PURL] = p.Layer
		}
		require.Len(t, got, len(want), "%s: %v", name, got)
		for url, n := range want {
			require.Equal(t, "sha256:"+digest(layers[n]), got[url], "%s: %s of %v", name, url, got)
		}
	}
}

func TestImageShowsWhatItsLayersLeave(t *testing.T) {
	t.Parallel()
	mod := func(name string) string { return "module m\nrequire example.org/" + name + " v1.0.0\n" }
	base := layer(t, [2]string{"a/go.mod", mod("deleted")}, [2]string{"b/x/go.mod", mod("opaque")}, [2]string{"c/go.mod", mod("old")},
		[2]string{"d/go.mod", mod("below-file")}, [2]string{"e/go.mod", mod("link")}, [2]string{"f/go.mod", mod("became-folder")}, [2]string{"g/go.mod", mod("kept")})
	upper := layer(t, [2]string{"a/.wh.go.mod", ""}, [2]string{"b/y/go.mod", mod("beside-opaque")}, [2]string{"b/.wh..wh..opq", ""},
		[2]string{"c/go.mod", mod("new")}, [2]string{"d", "now a file"}, [2]string{"e/go.mod", "→/etc/passwd"},
		[2]string{"f/go.mod/", ""}, [2]string{"f/go.mod/go.mod", mod("in-folder")}, [2]string{"h/go.mod", "=g/go.mod"},
		[2]string{"../../i/go.mod", mod("dots")}, [2]string{"j/.wh.never", ""})
	found, err := archive(t, extract.Options{}, dockerSave(t, plain, base, upper))
	require.NoError(t, err)
	got := map[string][]string{}
	for _, p := range found.Packages {
		got[strings.TrimPrefix(p.Name, "example.org/")] = p.Locations
	}
	require.Equal(t, map[string][]string{
		"beside-opaque": {"b/y/go.mod"}, "new": {"c/go.mod"}, "in-folder": {"f/go.mod/go.mod"},
		"kept": {"g/go.mod", "h/go.mod"}, "dots": {"i/go.mod"},
	}, got)
}

func TestArchiveThatIsNoImageIsAnError(t *testing.T) {
	t.Parallel()
	two := encoded(t, []map[string]any{{}, {}})
	for want, content := range map[string][]byte{
		"manifest.json nor index.json": layer(t, [2]string{"x", "y"}),
		"not an image archive":         []byte("hello"),
		"2 images":                     layer(t, [2]string{"manifest.json", two}),
		"no file":                      layer(t, [2]string{"manifest.json", `[{"Config": "x", "Layers": []}]`}),
		"names 0":                      layer(t, [2]string{"manifest.json", `[{"Config": "x", "Layers": ["../x"]}]`}, [2]string{"x", "{}"}),
		"chain of links":               layer(t, [2]string{"manifest.json", `[{"Config": "x"}]`}, [2]string{"x", "→x"}),
		"refer to each other":          layer(t, [2]string{"index.json", `{"manifests": [{"digest": "a:b"}]}`}, [2]string{"blobs/a/b", `{"manifests": [{"digest": "a:b"}]}`}),
	} {
		_, err := archive(t, extract.Options{}, content)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "image.tar")
	}
}
