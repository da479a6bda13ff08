//go:build linux

package advisory_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory/advisorytest"
)

// BenchmarkNPM imports an archive as large as npm's, opens the database and looks up 1,000 packages that all have advisories.
// import_MB is the most memory that the process had, open_MB what it has more with the database open and looked up in.
func BenchmarkNPM(b *testing.B) {
	dir := b.TempDir()
	archive := filepath.Join(dir, "npm", "all.zip")
	require.NoError(b, os.Mkdir(filepath.Dir(archive), 0o700))
	advisorytest.Archive(b, archive, advisorytest.NPMRecords)
	info, err := os.Stat(archive)
	require.NoError(b, err)
	db := filepath.Join(dir, "db")
	for b.Loop() {
		start := processTime(b)
		report, err := advisory.Import(b.Context(), db, archive, advisory.Options{})
		require.NoError(b, err)
		require.Equal(b, advisorytest.NPMRecords, report.Records())
		b.ReportMetric((processTime(b) - start).Seconds(), "import_cpu_s")
		b.ReportMetric(memory(b, "VmHWM"), "import_MB")
		b.ReportMetric(float64(info.Size())/1e6, "zip_MB")
		b.ReportMetric(float64(report.Imported[0].FileSize)/1e6, "index_MB")
		lookUp(b, db)
	}
}

func lookUp(b *testing.B, db string) {
	b.Helper()
	before, start := memory(b, "VmRSS"), time.Now()
	store, err := advisory.Open(db)
	require.NoError(b, err)
	b.ReportMetric(float64(time.Since(start).Microseconds())/1e3, "open_ms")
	start, cpu, found := time.Now(), processTime(b), 0
	for i := range 1_000 {
		list, err := store.Lookup("npm", advisorytest.Name(i*211))
		require.NoError(b, err)
		found += len(list)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/1e3, "lookup1000_ms")
	b.ReportMetric(float64((processTime(b)-cpu).Microseconds())/1e3, "lookup1000_cpu_ms")
	b.ReportMetric(float64(found), "advisories")
	b.ReportMetric(memory(b, "VmRSS")-before, "open_MB")
	require.NoError(b, store.Close())
}

// processTime returns the processor time of this process, which other processes do not change.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory reads a line of /proc/self/status in MB.
func memory(b *testing.B, line string) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	for l := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(l, ":"); name == line {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			require.NoError(b, err)
			return kb / 1e3
		}
	}
	b.Fatal("no line " + line)
	return 0
}
