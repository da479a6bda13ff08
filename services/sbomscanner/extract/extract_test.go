package extract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// scanProgram are the tests of this package without the race detector, which multiplies memory and time: what scans hostile input.
var scanProgram = filepath.Join(os.TempDir(), fmt.Sprintf("ironpost-extract-%d.test", os.Getpid()))

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.Remove(scanProgram)
		os.Exit(code)
	}))
}

// directory scans a folder with these files, by path.
func directory(t *testing.T, options extract.Options, files map[string]string) *inventory.Inventory {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return scan(t, options, dir)
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
}

func scan(t *testing.T, options extract.Options, dir string) *inventory.Inventory {
	t.Helper()
	e, err := extract.New(options)
	require.NoError(t, err)
	found, err := e.Directory(t.Context(), dir)
	require.NoError(t, err)
	return found
}

func urls(found *inventory.Inventory) []string {
	list := []string{}
	for _, p := range found.Packages {
		list = append(list, p.PURL)
	}
	return list
}

func packageOf(t *testing.T, found *inventory.Inventory, url string) inventory.Package {
	t.Helper()
	for _, p := range found.Packages {
		if p.PURL == url {
			return p
		}
	}
	require.Failf(t, "package is missing", "%s is not among %v", url, urls(found))
	return inventory.Package{}
}

const goMod = "module example.org/m\n\ngo 1.25.0\n\nrequire github.com/BurntSushi/toml v1.5.0\n"

func TestDirectoryNamesPackagesAsOSVDoes(t *testing.T) {
	t.Parallel()
	found := directory(t, extract.Options{}, map[string]string{"a/go.mod": goMod, "b/go.mod": goMod})
	require.Equal(t, []string{"pkg:golang/github.com/burntsushi/toml@v1.5.0", "pkg:golang/stdlib@1.25.0"}, urls(found))
	require.True(t, found.Complete(), "%v", found.Problems)
	toml := packageOf(t, found, "pkg:golang/github.com/burntsushi/toml@v1.5.0")
	require.Equal(t, "github.com/BurntSushi/toml", toml.Name, "advisories keep the case of module paths")
	require.Equal(t, "1.5.0", toml.Version)
	require.Equal(t, "Go", toml.Ecosystem)
	require.Equal(t, []string{"a/go.mod", "b/go.mod"}, toml.Locations)
}

const dpkgStatus = `Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl (3.0.11-1~deb12u2)
Version: 3.0.11-1~deb12u2+b1

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b2

`

func TestDebianPackageNamesItsSourceAndRelease(t *testing.T) {
	t.Parallel()
	found := directory(t, extract.Options{}, map[string]string{
		"var/lib/dpkg/status": dpkgStatus,
		"etc/issue":           "Debian", "usr/lib/os-release": "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
	})
	require.Len(t, found.Packages, 2)
	ssl := packageOf(t, found, "pkg:deb/debian/libssl3@3.0.11-1~deb12u2%2Bb1?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1~deb12u2")
	require.Equal(t, "Debian:12", ssl.Ecosystem)
	require.Equal(t, "openssl", ssl.AdvisoryName)
	require.Equal(t, "3.0.11-1~deb12u2", ssl.AdvisoryVersion)
	bash := packageOf(t, found, "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12")
	require.Empty(t, bash.AdvisoryName, "the source package has the same name")
}

func TestAlpinePackageNamesItsOriginAndBranch(t *testing.T) {
	t.Parallel()
	found := directory(t, extract.Options{}, map[string]string{
		"lib/apk/db/installed": "P:libcrypto3\nV:3.3.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\n\n",
		"etc/os-release":       "ID=alpine\nVERSION_ID=3.20.1\n",
	})
	crypto := packageOf(t, found, "pkg:apk/alpine/libcrypto3@3.3.1-r0?arch=x86_64&distro=alpine-3.20.1&upstream=openssl")
	require.Equal(t, "Alpine:v3.20", crypto.Ecosystem)
	require.Equal(t, "openssl", crypto.AdvisoryName)
	require.Equal(t, []string{"Apache-2.0"}, crypto.Licenses)
}

func TestExcludedFoldersAndIgnoredFilesAreNotRead(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		".gitignore": "/vendor/\n*.gen\n", "vendor/go.mod": goMod, ".git/go.mod": goMod, "out/x/go.mod": goMod,
		"sub/.gitignore": "ignored\n", "sub/ignored/go.mod": goMod, "ignored/go.mod": goMod, "data/go.mod": goMod,
	}
	dir := t.TempDir()
	write(t, dir, files)
	found := scan(t, extract.Options{Exclude: []string{"out"}, Skip: []string{filepath.Join(dir, "data")}}, dir)
	require.Equal(t, []string{"ignored/go.mod"}, found.Packages[0].Locations)
	require.True(t, found.Complete(), "what is excluded is not missing")

	found = scan(t, extract.Options{NoGitignore: true}, dir)
	require.Equal(t, []string{"data/go.mod", "ignored/go.mod", "out/x/go.mod", "sub/ignored/go.mod", "vendor/go.mod"}, found.Packages[0].Locations)
}
