package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// documentedLine matches a command of the page, and what follows it in the same line.
var documentedLine = regexp.MustCompile(`(?m)^(?:sudo )?ironpost ((?:scan|vulndb) .*?)(?:   .*)?$`)

// Every command of docs/sbom.md is run in its order, in a folder that has what the page says.
func TestTheScannerPageIsTrue(t *testing.T) {
	t.Parallel()
	dir := pageFolder(t)
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(dir, "osv"))))
	t.Cleanup(server.Close)
	page := strings.Join(inCode.FindAllString(read(t, "../../docs/sbom.md"), -1), "\n")
	commands := documentedLine.FindAllStringSubmatch(page, -1)
	require.Greater(t, len(commands), 12)
	for _, m := range commands {
		words := strings.Fields(strings.ReplaceAll(m[1], "'", ""))
		code, says := exitOK, ""
		switch line := strings.Join(words, " "); {
		case strings.Contains(line, "container:"):
			continue // TestScanOfAContainerReadsItsImage
		case strings.Contains(line, "--verify"):
			code, says = exitError, "make build" // the second engine is not beside the test's binary
		case strings.Contains(line, "--fail-on"):
			code, says = exitFindings, "findings of severity high"
		}
		cmd := exec.Command("ironpost", words...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "IRONPOST_SBOM_VULN_DB_PATH="+filepath.Join(dir, "vuln-db"), "IRONPOST_SBOM_VULN_DB_URL="+server.URL,
			"IRONPOST_CONFIG="+filepath.Join(dir, "ironpost.toml"))
		out, err := cmd.CombinedOutput()
		if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
			require.NoError(t, err)
		}
		require.Equal(t, code, cmd.ProcessState.ExitCode(), "%s: %s", m[1], out)
		require.Contains(t, string(out), says, m[1])
		if words[0] == "scan" && code == exitOK && !strings.Contains(m[1], "--ignore") {
			require.Contains(t, string(out), "CVE-2020-8203", m[1])
		}
	}
}

// pageFolder makes the files that the page names, from those of the script.
func pageFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	script, err := txtar.ParseFile("testdata/script/scan.txtar")
	require.NoError(t, err)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, f := range script.Files {
		switch name := f.Name; {
		case strings.HasPrefix(name, "records/"):
			w, err := z.Create(filepath.Base(name))
			require.NoError(t, err)
			_, err = w.Write(f.Data)
			require.NoError(t, err)
		case name == "app/package-lock.json":
			write("package-lock.json", f.Data)
			write("image.tar", imageArchive(t, f.Data))
		case name == "kev.json":
			write("known_exploited_vulnerabilities.json", f.Data)
		case name == "epss.csv":
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			_, err := w.Write(f.Data)
			require.NoError(t, errors.Join(err, w.Close()))
			write("epss_scores.csv.gz", packed.Bytes())
		case name == "ignore.toml":
			write(name, []byte(strings.ReplaceAll(string(f.Data), "$NEXT_MONTH", time.Now().AddDate(0, 1, 0).Format(time.DateOnly))))
		case name == "product.vex.json":
			write(name, f.Data)
		}
	}
	require.NoError(t, z.Close())
	write("osv/npm/all.zip", archive.Bytes())
	write("all.zip", archive.Bytes())
	write("ironpost.toml", nil)
	write("app.cdx.json", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"lodash","version":"4.17.15","purl":"pkg:npm/lodash@4.17.15"}]}`))
	return dir
}

// imageArchive returns an image with one lock file, as docker save writes it.
func imageArchive(t *testing.T, lock []byte) []byte {
	t.Helper()
	layer := tarOf(t, map[string][]byte{"app/package-lock.json": lock})
	sum := sha256.Sum256(layer)
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}`, hex.EncodeToString(sum[:]))
	return tarOf(t, map[string][]byte{
		"layer.tar": layer, "config.json": []byte(config),
		"manifest.json": []byte(`[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]`),
	})
}

func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, data := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}))
		_, err := w.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}
