package actioncollector_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestFullDiskHoldsActionsBackUntilThereIsSpace(t *testing.T) {
	b := bustest.New(t)
	dir := smallDisk(t)
	c := start(t, b, filepath.Join(dir, "audit"))
	publish(t, b, 1, 5)
	c.waitFor("actions_audited", 5)

	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	publish(t, b, 6, 40) // more than the last page of the segment holds
	require.Eventually(t, func() bool { return c.Health().Status == event.Degraded }, patience, time.Millisecond)
	require.Contains(t, c.Health().Reasons[0], "no space left for the audit trail")

	require.NoError(t, os.Remove(filler))
	c.waitFor("trail_head", 40)
	require.Eventually(t, func() bool { return c.Health().Status == event.Healthy }, patience, time.Millisecond)
	c.end()
	require.EqualValues(t, 40, intact(t, filepath.Join(dir, "audit"), keptHead(t, b)).Records)
}

// smallDisk is a file system of 256 KiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700")
	if err != nil {
		err = fmt.Errorf("mount a small file system: %w", err)
	}
	testenv.Require(t, "mount", err)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fill takes all the space there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Close())
}
