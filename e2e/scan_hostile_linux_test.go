package e2e_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What one run on hostile input may take.
const (
	hostileMemory = 256 << 20
	hostileTime   = 60 * time.Second
)

// scanRun is one run of the command.
type scanRun struct {
	code   int
	out    string
	errs   string
	memory int64 // most bytes resident
	took   time.Duration
}

// ironpost runs the built command with HOME and data folders below dir, and checks that it stays within the limits.
func ironpost(t *testing.T, dir string, args ...string) scanRun {
	t.Helper()
	bin, err := build()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "ironpost"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	began := time.Now()
	err = cmd.Run()
	require.NoError(t, ctx.Err(), "%v took longer than %v", args, hostileTime)
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		require.NoError(t, err)
	}
	r := scanRun{code: cmd.ProcessState.ExitCode(), out: out.String(), errs: errs.String(), took: time.Since(began)}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = usage.Maxrss << 10
	}
	t.Logf("%s: exit %d, %d MiB, %v", strings.Join(args, " "), r.code, r.memory>>20, r.took.Round(time.Millisecond))
	require.LessOrEqual(t, r.memory, int64(hostileMemory), args)
	require.NotContains(t, r.out+r.errs, "goroutine ", "a panic")
	for _, c := range r.out + r.errs {
		require.True(t, c == '\n' || c >= ' ', "a control character reached the terminal: %q", r.out+r.errs)
	}
	return r
}

// record is an advisory about every version of one package below fixed.
func record(id, ecosystem, name, fixed string) string {
	return fmt.Sprintf(`{"schema_version":"1.6.0","id":%q,"summary":"made for a test","published":"2024-01-01T00:00:00Z","modified":"2024-01-01T00:00:00Z",
"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
"affected":[{"package":{"ecosystem":%q,"name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`, id, ecosystem, name, fixed)
}

// archive writes a zip file; a writer adds one file to it.
func archive(t *testing.T, path string, fill func(add func(name string) io.Writer)) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	file, err := os.Create(path)
	require.NoError(t, err)
	z := zip.NewWriter(file)
	fill(func(name string) io.Writer {
		w, err := z.Create(name)
		require.NoError(t, err)
		return w
	})
	require.NoError(t, errors.Join(z.Close(), file.Close()))
	return path
}

// zeros writes n bytes that compress to almost nothing.
func zeros(t *testing.T, w io.Writer, n int64) {
	t.Helper()
	block := make([]byte, 1<<20)
	for ; n > 0; n -= int64(len(block)) {
		_, err := w.Write(block[:min(n, int64(len(block)))])
		require.NoError(t, err)
	}
}

func text(t *testing.T, w io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(w, s)
	require.NoError(t, err)
}

const lockFile = `{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"app","version":"1.0.0"},
"node_modules/lodash":{"version":"4.17.15"}}}`

// app makes a folder with a lock file, and a database that knows a vulnerability of it.
func app(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "app"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app/package-lock.json"), []byte(lockFile), 0o600))
	archive(t, filepath.Join(dir, "osv/npm/all.zip"), func(add func(string) io.Writer) {
		text(t, add("T-1.json"), record("T-1", "npm", "lodash", "4.17.19"))
	})
	require.Equal(t, 0, ironpost(t, dir, "vulndb", "import", "--db", "db", "osv").code)
	return dir
}

// found checks that the scan still finds what is there, and returns its output.
func found(t *testing.T, dir string) scanRun {
	t.Helper()
	r := ironpost(t, dir, "scan", "--db", "db", "app")
	require.Equal(t, 0, r.code, r.errs)
	require.Contains(t, r.out, "T-1", r.out)
	return r
}

func TestScanHostileDatabases(t *testing.T) {
	t.Parallel()
	dir := app(t)
	bomb := archive(t, filepath.Join(dir, "bomb.zip"), func(add func(string) io.Writer) {
		w := add("T-2.json")
		text(t, w, `{"id":"T-2","details":"`)
		zeros(t, w, 512<<20)
	})
	many := archive(t, filepath.Join(dir, "many.zip"), func(add func(string) io.Writer) {
		for i := range 64 {
			zeros(t, add(fmt.Sprintf("T-%d.json", i)), 8<<20)
		}
	})
	nested := archive(t, filepath.Join(dir, "nested.zip"), func(add func(string) io.Writer) {
		inner, err := os.ReadFile(bomb)
		require.NoError(t, err)
		_, err = add("all.zip").Write(inner)
		require.NoError(t, err)
	})
	garbage := archive(t, filepath.Join(dir, "garbage.zip"), func(add func(string) io.Writer) {
		for i := range 100 {
			text(t, add(fmt.Sprintf("T-%d.json", i)), strings.Repeat(`{"id":[`, 1000*i))
		}
	})
	unknown := archive(t, filepath.Join(dir, "unknown.zip"), func(add func(string) io.Writer) {
		text(t, add("T-9.json"), record("T-9", "../../etc\x1b[31m", "x", "1"))
	})
	cut := filepath.Join(dir, "cut.zip")
	whole, err := os.ReadFile(filepath.Join(dir, "osv/npm/all.zip"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cut, whole[:len(whole)-7], 0o600))
	for _, hostile := range []string{bomb, many, nested, garbage, unknown, cut} {
		r := ironpost(t, dir, "vulndb", "import", "--db", "db", "--ecosystem", "npm", hostile)
		require.Equal(t, 1, r.code, "%s: %s", hostile, r.out)
		require.Equal(t, 1, strings.Count(r.errs, "\n"), "one error: %s", r.errs)
		require.Contains(t, r.errs, filepath.Base(hostile))
		found(t, dir)
	}
}

// Malformed records cost themselves only.
func TestScanDatabaseWithSomeMalformedRecords(t *testing.T) {
	t.Parallel()
	dir := app(t)
	path := archive(t, filepath.Join(dir, "some.zip"), func(add func(string) io.Writer) {
		text(t, add("T-1.json"), record("T-1", "npm", "lodash", "4.17.19"))
		text(t, add("T-2.json"), "{")
		text(t, add("T-3.json"), record("T-3", "Unheard", "x", "1"))
		text(t, add("T-4.json"), record("T-4", "npm", "lodash", "not a version \x1b"))
	})
	r := ironpost(t, dir, "vulndb", "import", "--db", "db", "--ecosystem", "npm", path)
	require.Equal(t, 0, r.code, r.errs)
	require.Contains(t, r.out, "refused: npm: T-2.json")
	found(t, dir)
}

func TestScanHostileFolders(t *testing.T) {
	t.Parallel()
	dir := app(t)
	hostile := filepath.Join(dir, "app")
	// Links in a circle, to the folder above and out of the tree.
	require.NoError(t, os.Symlink("b", filepath.Join(hostile, "a")))
	require.NoError(t, os.Symlink("a", filepath.Join(hostile, "b")))
	require.NoError(t, os.Symlink("..", filepath.Join(hostile, "up")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(hostile, "Cargo.lock")))
	// A lock file of 1 GiB, sparse, and one that is nested too deeply.
	require.NoError(t, os.MkdirAll(filepath.Join(hostile, "big"), 0o700))
	big, err := os.Create(filepath.Join(hostile, "big/package-lock.json"))
	require.NoError(t, err)
	require.NoError(t, errors.Join(big.Truncate(1<<30), big.Close()))
	require.NoError(t, os.MkdirAll(filepath.Join(hostile, "deep"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(hostile, "deep/package-lock.json"), bytes.Repeat([]byte(`{"a":`), 1<<20), 0o600))
	// A Java archive that unpacks to 512 MiB, and one in one in one.
	archive(t, filepath.Join(hostile, "bomb.jar"), func(add func(string) io.Writer) {
		zeros(t, add("META-INF/MANIFEST.MF"), 512<<20)
	})
	inner, err := os.ReadFile(filepath.Join(hostile, "bomb.jar"))
	require.NoError(t, err)
	for i := range 30 {
		path := archive(t, filepath.Join(dir, "nested.jar"), func(add func(string) io.Writer) {
			_, err := add(fmt.Sprintf("lib%d.jar", i)).Write(inner)
			require.NoError(t, err)
		})
		inner, err = os.ReadFile(path)
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(filepath.Join(hostile, "nested.jar"), inner, 0o600))
	// A name that would move the cursor.
	require.NoError(t, os.MkdirAll(filepath.Join(hostile, "evil\x1b[2J\n"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(hostile, "evil\x1b[2J\n/package-lock.json"), []byte("{"), 0o600))
	// A pipe, which blocks who opens it.
	require.NoError(t, syscall.Mkfifo(filepath.Join(hostile, "go.mod"), 0o600))

	r := found(t, dir)
	require.Contains(t, r.out, "big/package-lock.json", r.out)
	require.Contains(t, r.out, "too large")
	require.Contains(t, r.out, `evil\x1b[2J\n/package-lock.json`)
	require.NotContains(t, r.out, "root:")
	require.Equal(t, 1, ironpost(t, dir, "scan", "--db", "db", "--fail-on", "critical", "--ignore", ignoring(t, dir), "app").code,
		"what was not read is no all-clear")
}

// ignoring writes an ignore file for T-1.
func ignoring(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ignore.toml")
	end := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	require.NoError(t, os.WriteFile(path, []byte("[[ignore]]\nid = \"T-1\"\nreason = \"a test\"\nexpires = "+end+"\n"), 0o600))
	return path
}

func TestScanHostileArchivesAndDocuments(t *testing.T) {
	t.Parallel()
	dir := app(t)
	for name, content := range map[string]string{
		"cut.tar":        strings.Repeat("\x00", 257) + "ustar\x0000" + strings.Repeat("\x00", 100),
		"cut.json":       `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[`,
		"other.json":     `{"a": 1}`,
		"deep.json":      `{"bomFormat":"CycloneDX","components":` + strings.Repeat(`[{"components":`, 1<<18),
		"cut.spdx.json":  `{"spdxVersion":"SPDX-2.3","packages":[{"name":`,
		"escape\x1b.tar": strings.Repeat("\x00", 257) + "ustar",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		r := ironpost(t, dir, "scan", "--db", "db", "--fail-on", "critical", name)
		require.Equal(t, 1, r.code, "%s: %s", name, r.out)
		require.NotEmpty(t, r.errs)
	}
}

// The database is the previous one or the new one, whenever an import is killed, and the next import works.
func TestScanDatabaseSurvivesKills(t *testing.T) {
	t.Parallel()
	const kills, most, records = 30, 200, 5_000
	dir := app(t)
	bin, err := build()
	require.NoError(t, err)
	versions := [2]string{}
	for i := range versions {
		versions[i] = archive(t, filepath.Join(dir, fmt.Sprintf("v%d.zip", i)), func(add func(string) io.Writer) {
			text(t, add("T-1.json"), record("T-1", "npm", "lodash", fmt.Sprintf("4.17.%d", 19+i)))
			for j := range records {
				text(t, add(fmt.Sprintf("X-%d.json", j)), record(fmt.Sprintf("X-%d", j), "npm", fmt.Sprintf("p%d", j), "1.0.0"))
			}
		})
	}
	whole := ironpost(t, dir, "vulndb", "import", "--db", "db", "--ecosystem", "npm", versions[0])
	require.Equal(t, 0, whole.code, whole.errs)
	generation := func() string {
		var status struct {
			ID string `json:"id"`
		}
		r := ironpost(t, dir, "vulndb", "status", "--db", "db", "--json")
		require.Equal(t, 0, r.code, r.errs)
		require.NoError(t, json.Unmarshal([]byte(r.out), &status))
		require.Contains(t, found(t, dir).out, "T-1")
		return status.ID
	}
	current, replaced, killed, took := generation(), 0, 0, whole.took
	for i := 0; i < most && killed < kills; i++ {
		cmd := exec.Command(filepath.Join(bin, "ironpost"), "vulndb", "import", "--db", "db", "--ecosystem", "npm", versions[(i+1)%2])
		cmd.Dir = dir
		began := time.Now()
		require.NoError(t, cmd.Start())
		timer := time.AfterFunc(rand.N(took), func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			killed++
		} else {
			took = time.Since(began)
		}
		timer.Stop()
		if now := generation(); now != current {
			current = now
			replaced++
		}
	}
	t.Logf("%d imports were killed; the database was replaced %d times", killed, replaced)
	require.Equal(t, kills, killed)
	require.Equal(t, 0, ironpost(t, dir, "vulndb", "import", "--db", "db", "--ecosystem", "npm", versions[0]).code)
	left, err := filepath.Glob(filepath.Join(dir, "db", "staging", "*"))
	require.NoError(t, err)
	require.Empty(t, left, "what killed imports left is removed")
}
