package bpf_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/testenv"
)

// bpffs mounts a bpf file system for one test.
func bpffs(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bpf")
	require.NoError(t, os.Mkdir(dir, 0o700))
	testenv.Require(t, "bpf", unix.Mount("bpf", dir, "bpf", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return filepath.Join(dir, "ironpost")
}

// A pinned filter is adopted by the next process with all entries; one of another size is copied.
func TestPinnedListsAreAdopted(t *testing.T) {
	t.Parallel()
	dir := bpffs(t)
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	for round, size := range []int{1000, 1000, 5000, 5000, 500} {
		f, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: size, Pins: dir})
		usable(t, "bpf", err)
		if round == 0 {
			require.NoError(t, f.Block([]bpf.Entry{
				{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Expires: expires, Reason: 5}, {Prefix: netip.MustParsePrefix("2001:db8::/40")},
			}))
			require.NoError(t, f.Allow(prefixes("192.0.2.1/32", "2001:db8::1/128")))
		}
		e, err := bpf.Load(bpf.Options{Filter: f})
		require.NoError(t, err)
		for addr, want := range map[string]bpf.Verdict{
			"192.0.2.1": bpf.Pass, "192.0.2.9": bpf.Drop, "2001:db8::1": bpf.Pass, "2001:db8::2": bpf.Drop, "192.0.3.1": bpf.Pass,
		} {
			require.Equal(t, want, verdict(t, e, addr, start), "round %d: %s", round, addr)
		}
		entries, err := f.Blocked()
		require.NoError(t, err)
		require.Len(t, entries, 2)
		for _, entry := range entries {
			require.EqualValues(t, round+1, entry.Packets, "the counts continue")
			if entry.Reason == 5 {
				require.WithinDuration(t, expires, entry.Expires, 50*time.Millisecond)
			}
		}
		require.NoError(t, e.Close())
		require.NoError(t, f.Close())
	}
}

// A process that dies between writing bits and entries leaves bits without an entry, which would slow down packets for ever.
func TestTablesOfAnAdoptedFilterAreRewritten(t *testing.T) {
	t.Parallel()
	dir := bpffs(t)
	f, err := bpf.OpenFilter(bpf.FilterOptions{Pins: dir})
	usable(t, "bpf", err)
	block(t, f, "192.0.2.0/24", "198.51.100.7/32", "2001:db8::/40")
	require.NoError(t, f.SetAllBits())
	require.NoError(t, f.Close())
	f, err = bpf.OpenFilter(bpf.FilterOptions{Pins: dir})
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	requireIndexInKernel(t, f)
	block(t, f, "10.0.0.0/8")
	requireIndexInKernel(t, f)
}

// A program with the old lists keeps them in force while a larger filter is made.
func TestEntriesStayInForceWhileTheFilterGrows(t *testing.T) {
	t.Parallel()
	dir := bpffs(t)
	small, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: 100, Pins: dir})
	usable(t, "bpf", err)
	block(t, small, "192.0.2.0/24")
	old, err := bpf.Load(bpf.Options{Filter: small})
	require.NoError(t, err)
	defer func() { require.NoError(t, old.Close()) }()
	require.NoError(t, small.Close())
	large, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: 100_000, Pins: dir})
	require.NoError(t, err)
	defer func() { require.NoError(t, large.Close()) }()
	require.Equal(t, bpf.Drop, verdict(t, old, "192.0.2.9", start))
	next, err := bpf.Load(bpf.Options{Filter: large})
	require.NoError(t, err)
	defer func() { require.NoError(t, next.Close()) }()
	require.Equal(t, bpf.Drop, verdict(t, next, "192.0.2.9", start))
}

// A set of pins that was not completed when the process died is ignored.
func TestIncompletePinsAreIgnored(t *testing.T) {
	t.Parallel()
	dir := bpffs(t)
	for round := range 2 {
		f, err := bpf.OpenFilter(bpf.FilterOptions{Pins: dir})
		usable(t, "bpf", err)
		if round == 0 {
			block(t, f, "192.0.2.0/24")
			require.NoError(t, os.Mkdir(filepath.Join(dir, "filter_next"), 0o700))
		}
		entries, err := f.Blocked()
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.NoError(t, f.Close())
	}
}

func TestPinsNeedABPFFileSystem(t *testing.T) {
	t.Parallel()
	testenv.Require(t, "bpf", rootOnly())
	_, err := bpf.OpenFilter(bpf.FilterOptions{Pins: t.TempDir()})
	require.ErrorContains(t, err, "bpf file system")
}

func rootOnly() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root: %w", os.ErrPermission)
	}
	return nil
}
