package blocklist_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// hosts returns n lines of addresses.
func hosts(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "198.51.%d.%d\n", i/100, 2*(i%100))
	}
	return text.String()
}

// feeds is files that are followed with a store until stop is called.
type feeds struct {
	t       *testing.T
	reports <-chan blocklist.FilesReport
	accept  func(path string) (blocklist.AcceptedFeed, error)
	stop    func()
}

func followIn(t *testing.T, state string, paths ...string) feeds {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reports := make(chan blocklist.FilesReport, 1000)
	accept, follow := blocklist.FollowFilesIn(state, paths, quiet(), func(r blocklist.FilesReport) { reports <- r })
	g := task.New(ctx)
	g.Go("files", follow)
	stop := func() {
		cancel()
		require.NoError(t, g.Wait())
	}
	t.Cleanup(stop)
	return feeds{t, reports, accept, stop}
}

func holds(n int) func(blocklist.FilesReport) bool {
	return func(r blocklist.FilesReport) bool { return r.Changed && len(r.Prefixes) == n }
}

func TestShrunkFeedIsRefusedUntilAccepted(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "list")
	write(t, path, hosts(100))
	f := followIn(t, state, path)
	until(t, f.reports, holds(100))
	_, err := f.accept(path)
	require.ErrorContains(t, err, "is not refused")
	_, err = f.accept("/elsewhere")
	require.ErrorContains(t, err, "not in ebpf.blocklist_files")

	write(t, path, hosts(50))
	until(t, f.reports, holds(50))
	refused := func(r blocklist.FilesReport) bool { return len(r.Problems) == 1 }
	write(t, path, hosts(49))
	r := until(t, f.reports, refused)
	require.False(t, r.Changed)
	require.Contains(t, r.Problems[0], path)
	require.Contains(t, r.Problems[0], "49 prefixes, less than half of the 100 it had within 24 h")
	require.Contains(t, r.Problems[0], "its previous contents stay in force")

	f.stop()
	f = followIn(t, state, path)
	r = until(t, f.reports, refused)
	require.True(t, r.Changed && r.Complete)
	require.Len(t, r.Prefixes, 50, "kept through the restart")

	write(t, path, hosts(60))
	until(t, f.reports, holds(60))
	write(t, path, "")
	r = until(t, f.reports, refused)
	require.Contains(t, r.Problems[0], "it has 0 prefixes")
	accepted, err := f.accept(path)
	require.NoError(t, err)
	require.Equal(t, blocklist.AcceptedFeed{File: path, Before: 60}, accepted)
	until(t, f.reports, holds(0))
	write(t, path, hosts(4))
	until(t, f.reports, holds(4))
	write(t, path, hosts(2))
	until(t, f.reports, holds(2))

	f.stop()
	write(t, path, hosts(1))
	f = followIn(t, state, path)
	r = until(t, f.reports, refused)
	require.Contains(t, r.Problems[0], "half of the 4 ")
}

func TestLargestSizeIsThatOfADay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	sizes := blocklist.SizesAfter(nil, 1000, now)
	require.Equal(t, 1000, blocklist.Largest(sizes, now.Add(100*24*time.Hour)), "it is in force still")
	sizes = blocklist.SizesAfter(sizes, 600, now.Add(time.Hour))
	require.Equal(t, 1000, blocklist.Largest(sizes, now.Add(24*time.Hour)))
	require.Equal(t, 600, blocklist.Largest(sizes, now.Add(26*time.Hour)))
	for i := range 1000 {
		sizes = blocklist.SizesAfter(sizes, 600+i%2, now.Add(time.Hour+time.Duration(i)*time.Second))
	}
	require.LessOrEqual(t, len(sizes), 64)
	require.Equal(t, 1000, blocklist.Largest(sizes, now.Add(2*time.Hour)))
}

func TestHostBitsOfAFeedAreCounted(t *testing.T) {
	t.Parallel()
	f, err := blocklist.ReadFeed(strings.NewReader("203.0.113.7\n10.191.1.13/29\n2001:db8::1/64\n::ffff:203.0.113.7\n"))
	require.NoError(t, err)
	require.Zero(t, f.Bad)
	require.Equal(t, 4, f.Lines)
	require.Equal(t, 2, f.HostBits)
	require.Equal(t, 2, f.FirstHostBits)
	require.Contains(t, texts(f.Prefixes), "10.191.1.8/29")
}
