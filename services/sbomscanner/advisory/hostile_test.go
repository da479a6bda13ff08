//go:build linux

package advisory_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory/advisorytest"
)

// Bounds of any import, of a process that does nothing else.
const (
	maxImportMB   = 256
	maxImportTime = 2 * time.Minute
)

// sourceVar tells a child process what to import, into the folder in dirVar.
const (
	sourceVar = "IRONPOST_TEST_IMPORT"
	dirVar    = "IRONPOST_TEST_DATABASE"
)

// TestMain imports and prints the outcome in the child processes of tests; otherwise it runs the tests.
func TestMain(m *testing.M) {
	sources := os.Getenv(sourceVar)
	if sources == "" {
		os.Exit(m.Run())
	}
	for s := range strings.SplitSeq(sources, "\n") {
		_, err := advisory.Import(context.Background(), os.Getenv(dirVar), s, advisory.Options{Force: true})
		fmt.Printf("result: %v\n", err)
	}
	status, err := os.ReadFile("/proc/self/status")
	fmt.Print(string(status))
	if err != nil {
		os.Exit(1)
	}
}

// importer returns the path of this test binary, compiled without the race detector, which multiplies memory and time.
func importer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "importer")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func child(t *testing.T, importer, dir, source string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), importer)
	cmd.Env = append(os.Environ(), sourceVar+"="+source, dirVar+"="+dir)
	return cmd
}

// importChild imports in a process of its own and returns the error's text and the most memory that the process had.
func importChild(t *testing.T, importer, dir, source string) (result string, mb int) {
	t.Helper()
	out, err := child(t, importer, dir, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "result: "); ok {
			result = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.Fields(text)[0])
			require.NoError(t, err)
			mb = kb / 1000
		}
	}
	return result, mb
}

// TestHostileSources ends each of them with one error, within bounded memory and time, with the previous database in force.
func TestHostileSources(t *testing.T) {
	program := importer(t)
	for _, c := range []struct {
		name, want string
		write      func(t *testing.T, path string)
	}{
		{"zip bomb", "at most 17179869184 bytes and 100 times its size are allowed", func(t *testing.T, path string) {
			writeZip(t, path, func(w *zip.Writer) { deflate(t, w, "BOMB.json", strings.Repeat(" ", 100<<20)) })
		}},
		{"files that unpack to more than they say", "25 of 25 records are unusable (damaged_in_archive: 25)", func(t *testing.T, path string) {
			b := packed(t, strings.Repeat(" ", 100<<20))
			writeZip(t, path, func(w *zip.Writer) {
				for i := range 25 {
					raw(t, w, zip.FileHeader{Name: fmt.Sprintf("%d.json", i), Method: zip.Deflate, UncompressedSize64: 1000}, b)
				}
			})
		}},
		{"overlapping files", "the files in the archive overlap", func(t *testing.T, path string) {
			writeDirectory(t, path, 1000, 1000, func(int) entry { return entry{name: "A.json", data: 1 << 10} })
		}},
		{"nested archives", "1 of 1 records are unusable (unsafe_file_name: 1)", func(t *testing.T, path string) {
			writeZip(t, path, func(w *zip.Writer) { deflate(t, w, "all.zip", string(packed(t, "nested"))) })
		}},
		{"record of 1 GB", "1 of 1 records are unusable (too_large: 1)", func(t *testing.T, path string) {
			writeDirectory(t, path, 1, 1, func(int) entry { return entry{name: "A.json", data: 1 << 30} })
		}},
		{"a million files and one", "it has 1000001 files: at most 1000000 are allowed", func(t *testing.T, path string) {
			writeDirectory(t, path, 1_000_001, 1, tiny)
		}},
		{"a million files", "1000000 of 1000000 records are unusable (malformed_json: 1000000)", func(t *testing.T, path string) {
			writeDirectory(t, path, 1_000_000, 1_000_000, tiny)
		}},
		{"more files than it says", "has more entries than its end record says", func(t *testing.T, path string) {
			writeDirectory(t, path, 10, 100_000, tiny)
		}},
		{"deep JSON", "5 of 5 records are unusable (over_limit: 4, malformed_json: 1)", func(t *testing.T, path string) {
			writeZip(t, path, func(w *zip.Writer) {
				for i := range 4 {
					store(t, w, fmt.Sprintf("%d.json", i), `{"id":"A","affected":`+strings.Repeat("[", 10<<20))
				}
				store(t, w, "4.json", `{"id":"A","affected":`+strings.Repeat("[", 190_000))
			})
		}},
		{"wide JSON", "24 of 24 records are unusable (over_limit: 18, bad_id: 3, malformed_json: 3)", func(t *testing.T, path string) {
			writeZip(t, path, func(w *zip.Writer) {
				for i, value := range []string{"{}", "1", "null", `""`, "[]", `{"ranges":[{}]}`} {
					for j, list := range []string{`"affected":[`, `"aliases":[`, `"database_specific":{"severity":[`, `"x":[`} {
						n := 5 << 20 / len(value)
						if j == 0 {
							n = 190_000 / (1 + strings.Count(value, "{") + strings.Count(value, "["))
						}
						store(t, w, fmt.Sprintf("%d-%d.json", i, j), "{"+list+value+strings.Repeat(","+value, n)+"]"+strings.Repeat("}", strings.Count(list, "{")+1))
					}
				}
			})
		}},
		{"names without end", "it has more than 2097152 names or ids", func(t *testing.T, path string) {
			writeZip(t, path, func(w *zip.Writer) {
				for i := range 120 {
					record := fmt.Appendf(nil, `{"id":"A-%d","affected":[`, i)
					for j := range 19_000 {
						record = append(strconv.AppendInt(append(record, `{"package":{"ecosystem":"npm","name":"`...), int64(i*19_000+j), 10), `"}},`...)
					}
					store(t, w, fmt.Sprintf("A-%d.json", i), strings.TrimSuffix(string(record), ",")+"]}")
				}
			})
		}},
		{"EPSS of one line", "token too long", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, gzipped(t, "cve,epss,percentile\n"+strings.Repeat("1", 100<<20)), 0o600))
		}},
		{"KEV of nothing", "it has more than 200000 values", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte(`{"vulnerabilities":[{}`+strings.Repeat(",{}", 5<<20)+`]}`), 0o600))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			first := importRecords(t, dir, "npm", 10)
			name := "npm/all.zip"
			switch strings.Fields(c.name)[0] {
			case "EPSS":
				name = "epss.csv.gz"
			case "KEV":
				name = "kev.json"
			}
			path := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			c.write(t, path)
			start := time.Now()
			result, mb := importChild(t, program, dir, path)
			t.Logf("%d MB, %s: %.300s", mb, time.Since(start), result)
			require.Contains(t, result, c.want)
			require.Less(t, len(result), 1000)
			require.LessOrEqual(t, mb, maxImportMB)
			require.Less(t, time.Since(start), maxImportTime)
			require.Equal(t, first.ID, open(t, dir).Status().ID)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 3, "index, lock and manifest.json")
		})
	}
}

// TestFullDisk keeps the database, and leaves nothing behind.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := testenv.SmallDisk(t, "1m")
	first := importRecords(t, dir, "npm", 1_000)
	path := filepath.Join(t.TempDir(), "npm", "all.zip")
	advisorytest.Zip(t, path, records("npm", 20_000))
	_, err := advisory.Import(t.Context(), dir, path, advisory.Options{})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, first.ID, open(t, dir).Status().ID)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 3, "index, lock and manifest.json")
}

// TestManyEcosystems keeps the number of index files bounded.
func TestManyEcosystems(t *testing.T) {
	t.Parallel()
	dir, source := t.TempDir(), t.TempDir()
	for i := range 80 {
		record := advisorytest.Record(fmt.Sprintf("A-%d", i), fmt.Sprintf("Eco%d", i), "a", "1")
		require.NoError(t, os.WriteFile(filepath.Join(source, fmt.Sprintf("%d.json", i)), []byte(record), 0o600))
	}
	report, err := advisory.Import(t.Context(), dir, source, advisory.Options{})
	require.NoError(t, err)
	require.Len(t, report.Imported, 64)
	require.Equal(t, map[string]int{"other_ecosystem": 16}, report.Imported[0].Refused)
}

// TestKilledImports leave the old or the new database, and nothing else after the next one.
func TestKilledImports(t *testing.T) {
	t.Parallel()
	dir, sources := t.TempDir(), t.TempDir()
	var both []string
	for _, n := range []int{300, 400} {
		path := filepath.Join(sources, strconv.Itoa(n), "npm", "all.zip")
		advisorytest.Zip(t, path, records("npm", n))
		both = append(both, path)
	}
	importRecords(t, dir, "npm", 300)
	kills := 20
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_KILLS")); err == nil {
		kills = n
	}
	seen, program := make(map[int]int), importer(t)
	for i := range kills {
		cmd := child(t, program, dir, strings.Repeat(strings.Join(both, "\n")+"\n", 100)+both[0])
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "result: ") { // it is importing
		}
		time.Sleep(time.Duration(i*7919%40) * time.Millisecond) // the moment is what varies
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()

		store := open(t, dir)
		require.Empty(t, store.Status().Damaged)
		n := store.Status().Records()
		require.Contains(t, []int{300, 400}, n)
		seen[n]++
		require.Len(t, ids(t, store, "npm", "package-"+strconv.Itoa(n-1)), 1)
		require.Empty(t, ids(t, store, "npm", "package-"+strconv.Itoa(n)))
	}
	t.Logf("records after the kills: %v", seen)
	require.NoError(t, advisory.Clean(dir))
	left, err := os.ReadDir(filepath.Join(dir, "index"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(left), 2)
	left, err = os.ReadDir(dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(left), 4, "index, lock, manifest.json, and the manifest that was being written")
}

// TestRootLeavesTheDatabaseToItsOwner lets the user of the daemon import after root did.
func TestRootLeavesTheDatabaseToItsOwner(t *testing.T) {
	t.Parallel()
	var notRoot error
	if os.Geteuid() != 0 {
		notRoot = errors.New("only root makes files of others")
	}
	testenv.Require(t, "root", notRoot)
	dir := t.TempDir()
	require.NoError(t, os.Chown(dir, 12345, 12346))
	importRecords(t, dir, "npm", 10)
	for _, name := range []string{"lock", "index"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.EqualValues(t, 12345, info.Sys().(*syscall.Stat_t).Uid, name)
	}
}

func writeZip(t *testing.T, path string, fill func(*zip.Writer)) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	w := zip.NewWriter(file)
	fill(w)
	require.NoError(t, w.Close())
	require.NoError(t, file.Close())
}

func deflate(t *testing.T, w *zip.Writer, name, content string) {
	t.Helper()
	entry, err := w.Create(name)
	require.NoError(t, err)
	_, err = io.WriteString(entry, content)
	require.NoError(t, err)
}

func store(t *testing.T, w *zip.Writer, name, content string) {
	t.Helper()
	entry, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	require.NoError(t, err)
	_, err = io.WriteString(entry, content)
	require.NoError(t, err)
}

func raw(t *testing.T, w *zip.Writer, h zip.FileHeader, content []byte) {
	t.Helper()
	h.CompressedSize64 = uint64(len(content))
	entry, err := w.CreateRaw(&h)
	require.NoError(t, err)
	_, err = entry.Write(content)
	require.NoError(t, err)
}

// packed returns content as a file in an archive has it.
func packed(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	require.NoError(t, err)
	_, err = io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func gzipped(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// entry is a stored file of zeros.
type entry struct {
	name string
	data uint32
}

func tiny(i int) entry { return entry{name: fmt.Sprintf("%07d.json", i)} }

// writeDirectory writes an archive of one local file, to which all n entries of its directory point; the end says stated.
func writeDirectory(t *testing.T, path string, stated, n int, file func(int) entry) {
	t.Helper()
	out, err := os.Create(path)
	require.NoError(t, err)
	first := file(0)
	local := binary.LittleEndian.AppendUint32(nil, 0x04034b50)
	local = append(local, make([]byte, 22)...)
	local = binary.LittleEndian.AppendUint16(local, uint16(len(first.name)))
	local = append(append(local, 0, 0), first.name...)
	_, err = out.Write(local)
	require.NoError(t, err)
	start := int64(len(local)) + int64(first.data)
	_, err = out.Seek(start, io.SeekStart)
	require.NoError(t, err)
	w := bufio.NewWriter(out)
	size := 0
	for i := range n {
		e := file(i)
		head := make([]byte, 46)
		binary.LittleEndian.PutUint32(head, 0x02014b50)
		binary.LittleEndian.PutUint32(head[20:], e.data)
		binary.LittleEndian.PutUint32(head[24:], e.data)
		binary.LittleEndian.PutUint16(head[28:], uint16(len(e.name)))
		size += len(head) + len(e.name)
		_, err := w.Write(slices.Concat(head, []byte(e.name)))
		require.NoError(t, err)
	}
	end := binary.LittleEndian.AppendUint32(nil, 0x06064b50)
	end = append(end, make([]byte, 28)...)
	end = binary.LittleEndian.AppendUint64(end, uint64(stated))
	end = binary.LittleEndian.AppendUint64(end, uint64(size))
	end = binary.LittleEndian.AppendUint64(end, uint64(start))
	end = append(binary.LittleEndian.AppendUint32(end, 0x07064b50), 0, 0, 0, 0)
	end = binary.LittleEndian.AppendUint64(end, uint64(start)+uint64(size))
	end = append(binary.LittleEndian.AppendUint32(end, 1), "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
	_, err = w.Write(end)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	require.NoError(t, out.Close())
}
