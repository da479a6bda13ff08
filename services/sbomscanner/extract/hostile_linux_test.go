package extract_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// maxResident is the memory that a scan of the worst input may take, in a process of its own.
const maxResident = 256 << 20

// hostileVar names the asset for the child process that TestHostileInputIsBounded starts.
const hostileVar = "EXTRACT_TEST_HOSTILE"

// outcome is what the child reports.
type outcome struct {
	Inventory *inventory.Inventory
	Resident  int64
	Took      time.Duration
}

// TestHostileChild scans the asset that its parent names, if it runs in a child process, and writes the outcome to a file.
func TestHostileChild(t *testing.T) {
	asset := os.Getenv(hostileVar)
	if asset == "" {
		return
	}
	e, err := extract.New(extract.Options{TempDir: t.TempDir()})
	require.NoError(t, err)
	began := time.Now()
	scan := e.Directory
	if strings.HasSuffix(asset, ".tar") {
		scan = e.ImageArchive
	}
	if strings.HasSuffix(asset, ".cdx.json") {
		scan = e.Document
	}
	found, err := scan(t.Context(), asset)
	if err != nil {
		found = &inventory.Inventory{Problems: []inventory.Problem{{Reason: err.Error()}}}
	}
	found.Asset.Name = strconv.Itoa(len(found.Packages))
	found.Packages = nil
	text, err := json.Marshal(outcome{found, resident(t), time.Since(began)})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(os.Getenv(hostileVar+"_OUT"), text, 0o600))
}

// resident returns the most memory that this process has had, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "VmHWM:")
	require.True(t, found)
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	require.NoError(t, err)
	return kib << 10
}

// scanApart scans the asset in a process of its own.
func scanApart(t *testing.T, asset string) outcome {
	t.Helper()
	require.NoError(t, buildScan())
	out := filepath.Join(t.TempDir(), "outcome")
	command := exec.CommandContext(t.Context(), scanProgram, "-test.run", "^TestHostileChild$", "-test.count=1")
	command.Env = append(os.Environ(), hostileVar+"="+asset, hostileVar+"_OUT="+out)
	text, err := command.CombinedOutput()
	require.NoError(t, err, "%s", text)
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	var result outcome
	require.NoError(t, json.Unmarshal(content, &result))
	return result
}

// buildScan builds scanProgram once.
var buildScan = sync.OnceValue(func() error {
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-o", scanProgram, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // what make build compiled is used
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd, err, out)
	}
	return nil
})

func repeated(before, format, after string, n int) string {
	var b strings.Builder
	b.WriteString(before)
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	b.WriteString(after)
	return b.String()
}

// hostile are files and the reason for which they must be skipped; an empty reason means that they may be read.
var hostile = map[string]struct {
	name, reason string
	content      func() string
}{
	"many small npm packages":   {"package-lock.json", "too_complex", func() string { return repeated(`{"packages":{"":{}`, `,"node_modules/a%d":{}`, `}}`, 500_000) }},
	"npm packages at the limit": {"package-lock.json", "", func() string { return repeated(`{"packages":{"":{}`, `,"node_modules/a%d":{}`, `}}`, 99_000) }},
	"npm packages and names at the limit": {"package-lock.json", "", func() string {
		return repeated(`{"packages":{"":{}`, `,"node_modules/a%d":{"version":"1","dependencies":{"b":"1","c":"1","d":"1"}}`, `}}`, 38_000)
	}},
	"npm nested":             {"package-lock.json", "too_complex", func() string { return strings.Repeat(`{"dependencies":{"a":`, 500_000) }},
	"go.mod at the limit":    {"go.mod", "", func() string { return repeated("module m\n", "require a.b/c%d v1.0.0\n", "", 124_000) }},
	"requirements at limit":  {"requirements.txt", "", func() string { return repeated("", "a%d==1\n", "", 124_000) }},
	"requirements of itself": {"requirements.txt", "", func() string { return strings.Repeat("-r requirements.txt\na==1\n", 10_000) }},
	"requirements of others": {"requirements.txt", "too_many", func() string { return repeated("", "-r other%d.txt\n", "", 1000) }},
	"YAML aliases": {"pnpm-lock.yaml", "malformed", func() string {
		return "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + repeated("", "a%[1]d_: &b%[1]d [*a0,*a0,*a0,*a0,*a0,*a0,*a0,*a0,*a0]\n", "packages: [*b0, *b1, *b2]\nlockfileVersion: 6\n", 1000)
	}},
	"YAML flow":     {"pubspec.lock", "too_complex", func() string { return strings.Repeat("[", 1_000_000) }},
	"TOML nested":   {"Cargo.lock", "too_complex", func() string { return "a = " + strings.Repeat("[", 1_000_000) }},
	"TOML at limit": {"Cargo.lock", "", func() string { return repeated("", "[[package]]\nname='a%d'\n", "", 55_000) }},
	"XML nested":    {"pom.xml", "too_complex", func() string { return strings.Repeat("<a>", 1_000_000) }},
	"XML at limit": {"pom.xml", "", func() string {
		return "<project><dependencies>" + repeated("", "<dependency><groupId>g</groupId><artifactId>a%d</artifactId></dependency>", "</dependencies></project>", 41_000)
	}},
	"SBOM at limit": {"bom.json", "", func() string {
		return repeated(`{"bomFormat":"CycloneDX","components":[{}`, `,{"purl":"pkg:a/b%d"}`, `]}`, 90_000)
	}},
	"dpkg at limit": {"var/lib/dpkg/status", "", func() string {
		return repeated("", "Package: a%d\nStatus: install ok installed\nVersion: 1\n\n", "", 140_000)
	}},
	"one line": {"yarn.lock", "", func() string { return strings.Repeat("x", 31<<20) }},
	"zip bomb": {"bomb.jar", "decompression", func() string { return zipped("x.jar", strings.Repeat("\x00", 128<<20)) }},
	"nested archives": {"nested.jar", "decompression", func() string {
		content := zipped("x", "y")
		for range 50 {
			content = zipped("x.jar", content)
		}
		return content
	}},
	"archive of many names": {"names.jar", "decompression", func() string {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for i := range 250_000 {
			_, _ = w.CreateHeader(&zip.FileHeader{Name: strconv.Itoa(i), Method: zip.Store})
		}
		_ = w.Close()
		return out.String()
	}},
}

func zipped(name, content string) string {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, _ := w.Create(name)
	_, _ = io.WriteString(f, content)
	_ = w.Close()
	return out.String()
}

func TestHostileInputIsBounded(t *testing.T) {
	for title, c := range hostile {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{c.name: c.content()})
			got := scanApart(t, dir)
			check(t, got, c.reason)
		})
	}
}

// check checks memory, time and the reason for which something was skipped.
func check(t *testing.T, got outcome, reason string) {
	t.Helper()
	t.Logf("%d MiB, %v, %s packages, %v", got.Resident>>20, got.Took, got.Inventory.Asset.Name, got.Inventory.Skipped)
	require.Less(t, got.Resident, int64(maxResident))
	require.Less(t, got.Took, 3*time.Minute)
	if reason != "" {
		require.Equal(t, map[string]int{reason: 1}, got.Inventory.Skipped, "%v", got.Inventory.Problems)
	}
}

func TestHugeLockFileIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": goMod, "package-lock.json": "{"})
	require.NoError(t, os.Truncate(filepath.Join(dir, "package-lock.json"), 1<<30))
	got := scanApart(t, dir)
	check(t, got, "too_large")
	require.Equal(t, "2", got.Inventory.Asset.Name, "the other file is read")
}

func TestLinksNeverLeadOutsideAndLoopsEnd(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, map[string]string{"go.mod": goMod, "other.txt": "secret==1\n"})
	write(t, dir, map[string]string{"requirements.txt": "-r link.txt\nfound==1\n", "a/b/x": ""})
	for name, target := range map[string]string{
		"go.mod": filepath.Join(outside, "go.mod"), "folder": outside, "self": ".", "a/b/up": "../..", "loop1": "loop2", "loop2": "loop1",
		"link.txt": filepath.Join(outside, "other.txt"), "Cargo.lock": "Cargo.lock",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "poetry.lock"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "uv.lock"), 0o700))
	require.Equal(t, []string{"pkg:pypi/found@1"}, urls(scan(t, extract.Options{}, dir)))
}

func TestLimitsAreReported(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a/b/c/go.mod": goMod, "go.mod": goMod, "x/1": "", "x/2": "", "x/3": ""}
	found := directory(t, extract.Options{Limits: extract.Limits{Depth: 2}}, files)
	require.Equal(t, map[string]int{"too_deep": 1}, found.Skipped)
	found = directory(t, extract.Options{Limits: extract.Limits{Files: 3}}, files)
	require.Equal(t, map[string]int{"too_many": 1}, found.Skipped)
	require.Empty(t, found.Problems[0].Path, "whatever comes later is not read either")
	found = directory(t, extract.Options{Limits: extract.Limits{Packages: 1}}, files)
	require.Equal(t, 2, found.Skipped["too_many"])
	found = directory(t, extract.Options{Limits: extract.Limits{Time: 1}}, files)
	require.Equal(t, map[string]int{"took_too_long": 1}, found.Skipped)
}

// What one user of a shared folder has must neither crowd out what others have nor make the inventory larger than is saved.
func TestOneFolderLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	files := map[string]string{"b/go.mod": goMod}
	long := strings.Repeat("&", 900)
	for file := range 9 {
		var components strings.Builder
		for i := range 6000 {
			fmt.Fprintf(&components, `{"type":"library","name":"x","purl":"pkg:npm/x%d-%d@1.0.0-%s"},`, file, i, long)
		}
		files[fmt.Sprintf("a/%d.cdx.json", file)] = `{"bomFormat":"CycloneDX","specVersion":"1.5","components":[` + strings.TrimSuffix(components.String(), ",") + `]}`
	}
	found := directory(t, extract.Options{}, files)
	packageOf(t, found, urls(directory(t, extract.Options{}, map[string]string{"b/go.mod": goMod}))[0])
	require.Positive(t, found.Skipped["too_many"])
	require.Equal(t, "a", found.Problems[0].Path)
	text, err := json.Marshal(found)
	require.NoError(t, err)
	t.Logf("%d MiB, %d packages", len(text)>>20, len(found.Packages))
	require.Less(t, len(text), 64<<20)
	require.Greater(t, len(found.Packages), 1000)
}

func TestFoldersAreReadBehindOneThatTakesTooLong(t *testing.T) {
	t.Parallel()
	files := map[string]string{"b/go.mod": goMod}
	for i := range 40 {
		files[fmt.Sprintf("a/%02d", i)] = ""
	}
	found := directory(t, extract.Options{Limits: extract.Limits{Files: 40}}, files)
	require.Equal(t, "a", found.Problems[0].Path)
	require.Len(t, found.Packages, 2)

	// Patterns that are slow to match, for names that almost match.
	var patterns strings.Builder
	for i := range 1900 {
		fmt.Fprintf(&patterns, "%sb%d\n", strings.Repeat("*a", 60), i)
	}
	files = map[string]string{"b/go.mod": goMod, "a/.gitignore": patterns.String()}
	for i := range 2000 {
		files[fmt.Sprintf("a/%s%d", strings.Repeat("a", 200), i)] = ""
	}
	found = directory(t, extract.Options{Limits: extract.Limits{Time: 6 * time.Second}}, files)
	t.Log(found.Problems)
	require.Equal(t, map[string]int{"took_too_long": 1}, found.Skipped)
	require.Equal(t, "a", found.Problems[0].Path)
	require.Len(t, found.Packages, 2)
}

func TestCancelledScanEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{}
	for i := range 500 {
		files[fmt.Sprintf("%d/go.mod", i)] = goMod
	}
	write(t, dir, files)
	ctx, cancel := context.WithCancel(t.Context())
	e, err := extract.New(extract.Options{Progress: func(extract.Progress) { cancel() }})
	require.NoError(t, err)
	found, err := e.Directory(ctx, dir)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, found)
}

// hostileImages are archives and the reason for which something in them must be skipped.
func TestHostileImagesAreBounded(t *testing.T) {
	for title, c := range map[string]struct {
		reason string
		layer  func(t *testing.T, w io.Writer)
	}{
		"gzip bomb": {"decompression", func(t *testing.T, w io.Writer) {
			packed := gzip.NewWriter(w)
			bomb := tar.NewWriter(packed)
			require.NoError(t, bomb.WriteHeader(&tar.Header{Name: "go.mod", Typeflag: tar.TypeReg, Size: 256 << 20}))
			_, err := io.CopyN(bomb, zeros{}, 256<<20)
			require.NoError(t, err)
			require.NoError(t, packed.Close())
		}},
		"many programs": {"too_many", func(t *testing.T, w io.Writer) { manyFiles(t, w, 310_000, 0o755) }},
		"many files":    {"", func(t *testing.T, w io.Writer) { manyFiles(t, w, 310_000, 0o644) }},
	} {
		t.Run(title, func(t *testing.T) {
			var layer bytes.Buffer
			c.layer(t, &layer)
			path := filepath.Join(t.TempDir(), "image.tar")
			same := func(*testing.T, []byte) []byte { return layer.Bytes() }
			require.NoError(t, os.WriteFile(path, dockerSave(t, same, nil), 0o600))
			check(t, scanApart(t, path), c.reason)
		})
	}
}

func manyFiles(t *testing.T, w io.Writer, n int, mode int64) {
	t.Helper()
	files := tar.NewWriter(w)
	for i := range n {
		require.NoError(t, files.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%d/program%d", i%1000, i), Mode: mode, Typeflag: tar.TypeReg}))
	}
	require.NoError(t, files.Close())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
