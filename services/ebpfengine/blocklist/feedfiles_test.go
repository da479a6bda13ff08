package blocklist_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

const patience = 30 * time.Second

func quiet() logrus.FieldLogger {
	log, _ := test.NewNullLogger()
	return log
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// follow follows the files until the test ends.
func follow(t *testing.T, log logrus.FieldLogger, paths ...string) <-chan blocklist.FilesReport {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reports := make(chan blocklist.FilesReport, 1000)
	g := task.New(ctx)
	g.Go("files", func(ctx context.Context) error {
		return blocklist.FollowFiles(ctx, paths, log, func(r blocklist.FilesReport) { reports <- r })
	})
	t.Cleanup(func() {
		cancel()
		require.NoError(t, g.Wait())
	})
	return reports
}

// until returns the first report that satisfies ok.
func until(t *testing.T, reports <-chan blocklist.FilesReport, ok func(blocklist.FilesReport) bool) blocklist.FilesReport {
	t.Helper()
	end := time.After(patience)
	for {
		select {
		case r := <-reports:
			if ok(r) {
				return r
			}
		case <-end:
			require.FailNow(t, "not reported")
		}
	}
}

func lists(want ...string) func(blocklist.FilesReport) bool {
	return func(r blocklist.FilesReport) bool {
		return r.Changed && strings.Join(texts(r.Prefixes), " ") == strings.Join(want, " ")
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two.csv")
	write(t, one, "203.0.113.0/25\n")
	write(t, two, "203.0.113.128/25,x\n2001:db8::/32\n")
	reports := follow(t, quiet(), one, two)
	r := until(t, reports, lists("203.0.113.0/24", "2001:db8::/32"))
	require.True(t, r.Complete)
	require.Empty(t, r.Problems)

	write(t, one, "198.51.100.1\n203.0.113.0/25 # longer\n")
	until(t, reports, lists("198.51.100.1/32", "203.0.113.0/24", "2001:db8::/32"))

	write(t, filepath.Join(dir, "new"), "198.51.100.2\n")
	require.NoError(t, os.Rename(filepath.Join(dir, "new"), one))
	until(t, reports, lists("198.51.100.2/32", "203.0.113.128/25", "2001:db8::/32"))

	write(t, two, "2001:db8::/32\n")
	until(t, reports, lists("198.51.100.2/32", "2001:db8::/32"))
}

// A feed that is written in place is short for a while; its previous contents stay in force meanwhile.
func TestFileIsReadOnceItIsCompletelyWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, strings.Repeat("203.0.113.7\n", 1000))
	reports := follow(t, quiet(), path)
	until(t, reports, lists("203.0.113.7/32"))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	require.NoError(t, err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 50 {
		<-tick.C
		_, err := f.WriteString(strings.Repeat("203.0.113.7\n", 30))
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	until(t, reports, func(r blocklist.FilesReport) bool {
		require.False(t, r.Changed && len(r.Prefixes) == 0)
		return r.Changed
	})
}

func TestUnusableFileKeepsItsPreviousContents(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	reports := follow(t, quiet(), path)
	r := until(t, reports, func(r blocklist.FilesReport) bool { return len(r.Problems) == 1 })
	require.False(t, r.Changed)
	require.Contains(t, r.Problems[0], "no such file")
	write(t, path, "203.0.113.7\n")
	r = until(t, reports, lists("203.0.113.7/32"))
	require.Empty(t, r.Problems)

	write(t, path, "<html><title>503</title>\n<p>try later\n")
	r = until(t, reports, func(r blocklist.FilesReport) bool { return len(r.Problems) == 1 })
	require.False(t, r.Changed)
	require.Contains(t, r.Problems[0], "none of its lines can be used: line 1")
	require.Contains(t, r.Problems[0], "its previous contents stay in force")

	require.NoError(t, os.Remove(path))
	until(t, reports, func(r blocklist.FilesReport) bool {
		require.False(t, r.Changed)
		return len(r.Problems) == 1 && strings.Contains(r.Problems[0], "no such file")
	})
	write(t, path, "203.0.113.8\n")
	until(t, reports, lists("203.0.113.8/32"))
}

func TestFolderIsNotAFeed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reports := follow(t, quiet(), dir)
	r := until(t, reports, func(r blocklist.FilesReport) bool { return len(r.Problems) == 1 })
	require.Contains(t, r.Problems[0], "not a regular file")
	require.False(t, r.Complete)
}

func TestChangedSymbolicLinkIsFollowed(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	link := filepath.Join(dir, "list")
	write(t, filepath.Join(other, "a"), "203.0.113.1\n")
	write(t, filepath.Join(other, "b"), "203.0.113.2\n")
	require.NoError(t, os.Symlink(filepath.Join(other, "a"), link))
	reports := follow(t, quiet(), link)
	until(t, reports, lists("203.0.113.1/32"))
	require.NoError(t, os.Symlink(filepath.Join(other, "b"), filepath.Join(dir, "new")))
	require.NoError(t, os.Rename(filepath.Join(dir, "new"), link))
	until(t, reports, lists("203.0.113.2/32"))
}

func TestBadLinesAreLoggedByNumber(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "203.0.113.1\nsecret\n")
	log, hook := test.NewNullLogger()
	r := until(t, follow(t, log, path), lists("203.0.113.1/32"))
	require.Equal(t, 1, r.Bad)
	var lines []string
	for _, e := range hook.AllEntries() {
		text, err := e.String()
		require.NoError(t, err)
		require.NotContains(t, text, "secret")
		if line, ok := e.Data["line"].(string); ok {
			lines = append(lines, line)
		}
	}
	require.Equal(t, []string{path + ":2"}, lines)
}
